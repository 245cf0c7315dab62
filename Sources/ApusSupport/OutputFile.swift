#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that is written from front to back and appears under its name only when it is complete.
public final class OutputFile {
    /// The path the file will have.
    public let path: String
    /// Bytes written so far.
    public private(set) var count = 0
    private var file: Int32
    private let temporaryPath: String

    /// Creates the file beside its final place.
    /// - Parameters:
    ///   - path: The path the file will have.
    ///   - suffix: Follows the path while the file is written; writers that may meet need different ones.
    /// - Throws: `.io` naming the path.
    public init(path: String, suffix: String = ".partial") throws(ApusError) {
        self.path = path
        temporaryPath = path + suffix
        file = open(path + suffix, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw failure("create") }
    }

    deinit {
        guard file >= 0 else { return }
        close(file)
        unlink(temporaryPath)
    }

    /// Appends bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(ApusError) {
        var rest = bytes[...]
        while let base = UnsafeRawBufferPointer(rebasing: rest).baseAddress, !rest.isEmpty {
            #if canImport(Glibc)
                let written = Glibc.write(file, base, rest.count)
            #elseif canImport(Musl)
                let written = Musl.write(file, base, rest.count)
            #else
                let written = Darwin.write(file, base, rest.count)
            #endif
            if written < 0 {
                if errno == EINTR { continue }
                throw failure("write")
            }
            rest = rest.dropFirst(written)
        }
        count += bytes.count
    }

    /// Appends text as UTF-8.
    public func write(_ text: String) throws(ApusError) {
        try Array(text.utf8).withUnsafeBufferPointer { buffer throws(ApusError) in
            try write(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Closes the file and gives it its name, replacing a file that has it.
    public func finish() throws(ApusError) {
        let descriptor = file
        file = -1
        guard close(descriptor) == 0, rename(temporaryPath, path) == 0 else {
            let error = failure("finish")
            unlink(temporaryPath)
            throw error
        }
    }

    private func failure(_ verb: String) -> ApusError {
        ApusError(.io, "\(path): cannot \(verb): \(String(cString: strerror(errno)))")
    }

    /// Makes a folder and those above it, if they are not there.
    public static func makeFolder(_ path: String) throws(ApusError) {
        var partial = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            partial += (partial.isEmpty || partial.hasSuffix("/") ? "" : "/") + part
            guard mkdir(partial, 0o755) != 0, errno != EEXIST else { continue }
            throw ApusError(
                .io, "\(partial): cannot make the folder: \(String(cString: strerror(errno)))")
        }
        guard isFolder(path) else { throw ApusError(.io, "\(path): expected a folder, got a file") }
    }

    /// Whether there is a folder of that path.
    public static func isFolder(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether there is anything of that path.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Removes a file, if it is there.
    public static func remove(_ path: String) throws(ApusError) {
        guard unlink(path) != 0, errno != ENOENT else { return }
        throw ApusError(.io, "\(path): cannot remove: \(String(cString: strerror(errno)))")
    }
}
