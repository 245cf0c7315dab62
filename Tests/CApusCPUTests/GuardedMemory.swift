#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory that ends where a page ends that may not be touched: a read or write past it stops the test.
final class GuardedMemory {
    private static let page = Int(getpagesize())
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int
    /// The first byte.
    let base: UnsafeMutableRawPointer
    let count: Int

    /// Memory of so many bytes, all 0xff: NaN to whoever takes them for numbers.
    init(count: Int) throws {
        let whole = (count + Self.page - 1) / Self.page * Self.page
        mappedBytes = whole + Self.page
        guard
            let mapping = mmap(
                nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            mapping != MAP_FAILED, mprotect(mapping + whole, Self.page, PROT_NONE) == 0
        else { throw Failure() }
        self.mapping = mapping
        self.count = count
        base = mapping + whole - count
        base.initializeMemory(as: UInt8.self, repeating: 0xff, count: count)
    }

    /// Memory with a copy of an array.
    convenience init<Element>(_ values: [Element]) throws {
        try self.init(count: values.count * MemoryLayout<Element>.stride)
        values.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { base.copyMemory(from: source, byteCount: bytes.count) }
        }
    }

    deinit { munmap(mapping, mappedBytes) }

    /// The memory as numbers.
    func array<Element>(of type: Element.Type) -> [Element] {
        (0..<count / MemoryLayout<Element>.stride).map {
            base.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.stride, as: type)
        }
    }

    struct Failure: Error {}
}
