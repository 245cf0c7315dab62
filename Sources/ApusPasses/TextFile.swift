import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Writes the text files that the pass manager leaves.
enum TextFile {
    /// Folder for files that nobody asked for by name.
    static var temporaryDirectory: String {
        getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    }

    /// Makes a folder, unless it is there; what keeps it from being made, writing into it will tell.
    static func makeFolder(_ path: String) { _ = mkdir(path, 0o755) }

    /// Writes a file, replacing what it held.
    /// - Throws: `.io` with the path and the system's reason.
    static func write(_ text: String, to path: String) throws(ApusError) {
        guard let file = fopen(path, "w") else {
            throw ApusError(.io, "\(path): cannot write: \(String(cString: strerror(errno)))")
        }
        let bytes = Array(text.utf8)
        let count = fwrite(bytes, 1, bytes.count, file)
        let isClosed = fclose(file) == 0
        guard count == bytes.count, isClosed else {
            throw ApusError(.io, "\(path): cannot write: \(String(cString: strerror(errno)))")
        }
    }
}
