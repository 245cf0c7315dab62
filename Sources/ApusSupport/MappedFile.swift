#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A regular file mapped into memory for reading; unmapped when the last reference goes.
///
/// The file must not be shortened while it is mapped: reading past a new end stops the process.
public final class MappedFile: Sendable {
    /// The path the file was opened by.
    public let path: String
    /// Size in bytes.
    public let count: Int
    // The pages are never written through this mapping, so that tasks may share it.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer?

    /// Maps a file.
    /// - Throws: `.notFound` if there is no such file, `.io` if it cannot be mapped; each names the path.
    public init(path: String) throws(ApusError) {
        self.path = path
        let file = try openToRead(path)
        defer { close(file) }
        var info = stat()
        guard fstat(file, &info) == 0 else {
            throw ApusError(.io, "\(path): cannot read its size: \(String(cString: strerror(errno)))")
        }
        guard info.st_mode & S_IFMT == S_IFREG else {
            let got = info.st_mode & S_IFMT == S_IFDIR ? "a directory" : "something else"
            throw ApusError(.io, "\(path): expected a file, got \(got)")
        }
        count = Int(info.st_size)
        guard count > 0 else {
            // No mapping is empty.
            base = nil
            return
        }
        let mapping = mmap(nil, count, PROT_READ, MAP_PRIVATE, file, 0)
        guard let mapping, mapping != UnsafeMutableRawPointer(bitPattern: -1) else {
            throw ApusError(
                .io, "\(path): cannot map \(count) bytes: \(String(cString: strerror(errno)))")
        }
        base = mapping
    }

    deinit {
        if let base { munmap(base, count) }
    }

    /// Calls `body` with the bytes of the file, which are valid only during the call.
    public func withBytes<R>(
        _ body: (UnsafeRawBufferPointer) throws(ApusError) -> R
    ) throws(ApusError) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Gives back the memory of the pages that lie wholly in a range; touching them reads the file again.
    public func dropPages(_ range: Range<Int>) {
        let page = Int(getpagesize())
        let clamped = range.clamped(to: 0..<count)
        let start = (clamped.lowerBound + page - 1) / page * page
        // The last page of the file belongs to it alone.
        let end = clamped.upperBound == count ? count : clamped.upperBound / page * page
        guard let base, start < end else { return }
        madvise(base + start, end - start, MADV_DONTNEED)
    }
}
