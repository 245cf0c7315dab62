#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Files that are read at once.
public enum WholeFile {
    /// The contents as text; what is no UTF-8 becomes replacement characters.
    public static func text(path: String) throws(ApusError) -> String {
        String(decoding: try bytes(path: path), as: UTF8.self)
    }

    /// The bytes of a file, or of a pipe up to its end.
    /// - Throws: `.notFound` if there is no such file, `.io` if it cannot be read; each names the path.
    public static func bytes(path: String) throws(ApusError) -> [UInt8] {
        let file = try openToRead(path)
        defer { close(file) }
        var info = stat()
        guard fstat(file, &info) == 0 else {
            throw ApusError(.io, "\(path): cannot read its size: \(String(cString: strerror(errno)))")
        }
        if info.st_mode & S_IFMT == S_IFDIR {
            throw ApusError(.io, "\(path): expected a file, got a directory")
        }
        // A pipe or a file that grows has no size to trust, so that reading goes on until the end is seen.
        var bytes: [UInt8] = []
        var capacity = max(Int(info.st_size), 0) + 4096
        while true {
            var failure: Int32 = 0
            let wanted = capacity
            let chunk = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
                while count < wanted, let base = buffer.baseAddress {
                    let got = read(file, base + count, wanted - count)
                    if got > 0 {
                        count += got
                    } else if got == 0 {
                        break
                    } else if errno != EINTR {
                        failure = errno
                        break
                    }
                }
            }
            guard failure == 0 else {
                throw ApusError(.io, "\(path): cannot read: \(String(cString: strerror(failure)))")
            }
            if bytes.isEmpty { bytes = chunk } else { bytes += chunk }
            if chunk.count < wanted { return bytes }
            capacity = 1 << 20
        }
    }
}

/// Opens a file, which the caller closes.
/// - Throws: `.notFound` if there is no such file, `.io` if it cannot be opened; each names the path.
func openToRead(_ path: String) throws(ApusError) -> Int32 {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
        let code = errno
        if code == ENOENT || code == ENOTDIR {
            throw ApusError(.notFound, "\(path): no such file; check the path")
        }
        throw ApusError(.io, "\(path): cannot open: \(String(cString: strerror(code)))")
    }
    return file
}
