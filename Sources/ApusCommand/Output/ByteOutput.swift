import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Bytes on their way to a file descriptor, gathered until there are many or `flush` is called.
///
/// Not thread safe; standard output and standard error are written by the main thread alone.
final class ByteOutput {
    /// Standard output.
    nonisolated(unsafe) static let standardOutput = ByteOutput(descriptor: STDOUT_FILENO)
    /// Standard error.
    nonisolated(unsafe) static let standardError = ByteOutput(descriptor: STDERR_FILENO)

    private let descriptor: Int32
    private let capacity: Int
    private var pending: [UInt8] = []

    /// Writes to an open descriptor, which stays the caller's.
    init(descriptor: Int32, capacity: Int = 1 << 16) {
        self.descriptor = descriptor
        self.capacity = capacity
    }

    /// Appends text.
    /// - Throws: ``OutputClosed``, `.io`.
    func write(_ text: String) throws {
        pending.append(contentsOf: text.utf8)
        if pending.count >= capacity { try flush() }
    }

    /// Appends text and ends the line.
    func line(_ text: String) throws { try write(text + "\n") }

    /// Hands all that is pending to the system.
    /// - Throws: ``OutputClosed`` if nobody reads any more, `.io` for any other refusal.
    func flush() throws {
        defer { pending.removeAll(keepingCapacity: true) }
        try pending.withUnsafeBytes { bytes in try Self.write(bytes, to: descriptor) }
    }

    /// Writes all bytes to a descriptor.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) throws {
        var rest = bytes[...]
        while let base = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
            #if canImport(Glibc)
                let count = Glibc.write(descriptor, base, rest.count)
            #else
                let count = Darwin.write(descriptor, base, rest.count)
            #endif
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EPIPE {
                throw OutputClosed()
            } else if errno != EINTR {
                throw ApusError(.io, "cannot write output: \(String(cString: strerror(errno)))")
            }
        }
    }
}
