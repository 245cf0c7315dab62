#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Zero-filled memory aligned to 2 MB, on huge pages where the system grants them.
///
/// Two cores read about 1.5 to 2 times faster from 2 MB pages than from 4 KB pages: weights and caches live here.
public final class HugeBuffer: @unchecked Sendable {
    /// Size of a huge page in bytes.
    public static let pageBytes = 2 << 20

    /// The first byte.
    public let base: UnsafeMutableRawPointer
    /// Usable size in bytes.
    public let byteCount: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    /// Reserves `byteCount` bytes; pages are taken when they are first touched.
    /// - Throws: `.outOfMemory` if the system refuses.
    public init(byteCount: Int, purpose: String) throws(ApusError) {
        let size = max(byteCount, 1)
        // Room to align to a huge page; a small buffer is not worth one.
        let isLarge = size >= Self.pageBytes
        let slack = isLarge ? Self.pageBytes : 0
        let (total, overflow) = size.addingReportingOverflow(slack)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS
        guard byteCount >= 0, !overflow,
            let mapping = mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0), mapping != MAP_FAILED
        else {
            throw ApusError(
                .outOfMemory,
                "cannot reserve \(byteCount) bytes for \(purpose): free memory, or choose a smaller model, "
                    + "batch or context")
        }
        let address = UInt(bitPattern: mapping)
        let page = UInt(Self.pageBytes)
        let aligned = isLarge ? (address + page - 1) / page * page : address
        self.mapping = mapping
        mappedBytes = total
        self.byteCount = byteCount
        base = mapping.advanced(by: Int(aligned - address))
        #if os(Linux)
            if isLarge { _ = madvise(base, size, Int32(MADV_HUGEPAGE)) }
        #endif
    }

    deinit { munmap(mapping, mappedBytes) }
}
