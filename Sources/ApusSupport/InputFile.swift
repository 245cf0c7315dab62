#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A regular file that is read at any place, by any number of threads at once.
///
/// Unlike a mapping, a file that is cut short while it is read gives an error.
public final class InputFile: Sendable {
    /// The path the file was opened by.
    public let path: String
    /// Size in bytes when the file was opened.
    public let count: Int
    /// Time of the last change in nanoseconds since 1970, as the system tells it.
    public let modificationTime: Int
    /// Time of the last change of contents or place in nanoseconds since 1970; unlike the other, nobody can set it.
    public let changeTime: Int
    private let file: Int32

    /// Opens a file.
    /// - Throws: `.notFound` if there is no such file, `.io` if it cannot be opened or is a folder.
    public init(path: String) throws(ApusError) {
        self.path = path
        let descriptor = try openToRead(path)
        var info = stat()
        guard fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ApusError(.io, "\(path): expected a file, got a folder or something else")
        }
        count = Int(info.st_size)
        #if canImport(Darwin)
            let (modified, changed) = (info.st_mtimespec, info.st_ctimespec)
        #else
            let (modified, changed) = (info.st_mtim, info.st_ctim)
        #endif
        modificationTime = Int(modified.tv_sec) &* 1_000_000_000 &+ Int(modified.tv_nsec)
        changeTime = Int(changed.tv_sec) &* 1_000_000_000 &+ Int(changed.tv_nsec)
        file = descriptor
    }

    deinit { close(file) }

    /// Fills a buffer with the bytes from `offset` on.
    /// - Throws: `.invalidInput` if the file ends before the buffer is full, `.io` if it cannot be read.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(ApusError) {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let got = pread(file, base + done, buffer.count - done, off_t(offset + done))
            if got > 0 {
                done += got
            } else if got == 0 {
                throw ApusError(
                    .invalidInput,
                    "\(path): expected \(buffer.count) bytes at \(offset), got \(done): the file was cut short"
                )
            } else if errno != EINTR {
                throw ApusError(.io, "\(path): cannot read: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// The bytes of a range.
    /// - Throws: As ``read(into:at:)``; `.invalidInput` for a range that is not in the file.
    public func bytes(_ range: Range<Int>) throws(ApusError) -> [UInt8] {
        guard range.lowerBound >= 0, range.upperBound <= count else {
            throw ApusError(
                .invalidInput,
                "\(path): expected \(range.count) bytes at \(range.lowerBound), the file has \(count)")
        }
        var failure: ApusError?
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
            do throws(ApusError) {
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[..<range.count])
                try read(into: part, at: range.lowerBound)
                filled = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The whole file.
    public func bytes() throws(ApusError) -> [UInt8] { try bytes(0..<count) }
}
