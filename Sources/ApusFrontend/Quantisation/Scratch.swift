import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory that is given back when the last reference goes.
final class Scratch {
    /// The first byte.
    let bytes: UnsafeMutablePointer<UInt8>
    private let count: Int

    /// Allocates memory that is not initialised.
    /// - Throws: `.outOfMemory`.
    init(_ byteCount: Int) throws(ApusError) {
        guard let base = malloc(max(1, byteCount)) else {
            throw ApusError(.outOfMemory, "no memory for \(byteCount) bytes of a weight")
        }
        bytes = base.assumingMemoryBound(to: UInt8.self)
        count = byteCount
    }

    /// All bytes.
    var buffer: UnsafeMutableBufferPointer<UInt8> { UnsafeMutableBufferPointer(start: bytes, count: count) }

    deinit { free(bytes) }
}
