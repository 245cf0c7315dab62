import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Reads a file or standard input line by line, holding no more than one line and one block.
final class LineReader {
    /// The file, as errors name it.
    let name: String
    private let descriptor: Int32
    private var block: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    /// Opens a file; `-` is standard input.
    /// - Throws: `.notFound`, `.io`.
    init(path: String) throws(ApusError) {
        name = path == "-" ? "standard input" : path
        if path == "-" {
            descriptor = STDIN_FILENO
            return
        }
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let code = errno
            if code == ENOENT || code == ENOTDIR {
                throw ApusError(.notFound, "\(path): no such file; check the path")
            }
            throw ApusError(.io, "\(path): cannot open: \(String(cString: strerror(code)))")
        }
    }

    deinit { if descriptor > STDIN_FILENO { close(descriptor) } }

    /// The next line without its line feed, nil at the end.
    /// - Throws: `.io`.
    func next() throws(ApusError) -> [UInt8]? {
        var searched = start
        while true {
            if let end = block[searched...].firstIndex(of: 0x0A) {
                defer { start = end + 1 }
                return Array(block[start..<end])
            }
            if isAtEnd {
                guard start < block.count else { return nil }
                defer { start = block.count }
                return Array(block[start...])
            }
            block.removeFirst(start)
            start = 0
            searched = block.count
            try fill()
        }
    }

    private func fill() throws(ApusError) {
        let size = 1 << 20
        var count = 0
        var failure: Int32 = 0
        let more = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            repeat { count = read(descriptor, buffer.baseAddress, size) } while count < 0 && errno == EINTR
            failure = errno
            filled = max(count, 0)
        }
        guard count >= 0 else {
            throw ApusError(.io, "\(name): cannot read: \(String(cString: strerror(failure)))")
        }
        isAtEnd = count == 0
        block += more
    }
}
