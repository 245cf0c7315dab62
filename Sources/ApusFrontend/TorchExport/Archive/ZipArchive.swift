import ApusSupport

/// A zip archive whose entries are stored without compression, as PyTorch writes them, mapped into memory.
///
/// Sizes and offsets are those of the central directory: local headers of streamed archives hold zeros. Everything
/// is checked when the archive is opened, so that an entry's range always lies in the file and overlaps no other.
/// Source: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
struct ZipArchive: Sendable {
    /// One file of the archive.
    struct Entry: Sendable, Hashable {
        /// Where in the archive its bytes lie.
        let range: Range<Int>
        /// CRC-32 of its bytes.
        let checksum: UInt32
    }

    /// The path of the archive.
    var path: String { file.path }
    /// The entries by name.
    let entries: [String: Entry]
    /// The name of the entry that the directory lists first.
    let firstName: String
    private let file: MappedFile

    /// Whether a file starts as a zip archive does.
    static func isZip(_ file: MappedFile) -> Bool {
        (try? file.withBytes { bytes throws(ApusError) in bytes.starts(with: [0x50, 0x4B, 3, 4]) }) ?? false
    }

    /// Reads the central directory.
    /// - Throws: `.invalidInput` for a file that is no zip archive, is truncated or contradicts itself,
    ///   `.unsupported` for compressed or encrypted entries.
    init(file: MappedFile) throws(ApusError) {
        self.file = file
        let listing = try ApusError.within(file.path) { () throws(ApusError) in
            try file.withBytes { bytes throws(ApusError) in try ZipDirectory.read(ZipBytes(bytes)) }
        }
        entries = Dictionary(uniqueKeysWithValues: listing.map { ($0.name, $0.entry) })
        firstName = listing.first?.name ?? ""
    }

    /// Calls `body` with the bytes of an entry, which are valid only during the call.
    func withBytes<R>(
        of entry: Entry, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> R
    ) throws(ApusError) -> R {
        try file.withBytes { bytes throws(ApusError) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[entry.range]))
        }
    }

    /// A copy of an entry's bytes, compared with its checksum.
    func contents(of name: String) throws(ApusError) -> [UInt8] {
        guard let entry = entries[name] else {
            throw ApusError(.notFound, "\(path): has no entry '\(name)'")
        }
        return try withBytes(of: entry) { bytes throws(ApusError) in
            guard CRC32.checksum(bytes) == entry.checksum else {
                throw ApusError(
                    .invalidInput, "\(path): entry '\(name)' differs from its checksum: the file is damaged")
            }
            return Array(bytes)
        }
    }

    /// Gives back the memory of an entry's pages.
    func release(_ entry: Entry) { file.dropPages(entry.range) }
}

/// Little-endian numbers at checked places.
struct ZipBytes {
    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var count: Int { bytes.count }

    func number<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type, at offset: Int) throws(ApusError) -> T
    {
        guard offset >= 0, offset <= bytes.count - MemoryLayout<T>.size else {
            throw ApusError(.invalidInput, "expected a zip archive; it ends too early and may be truncated")
        }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    func short(_ offset: Int) throws(ApusError) -> Int { Int(try number(UInt16.self, at: offset)) }

    func word(_ offset: Int) throws(ApusError) -> UInt32 { try number(UInt32.self, at: offset) }

    /// A 64-bit number that must count bytes or entries of this file.
    func long(_ offset: Int) throws(ApusError) -> Int {
        let value = try number(UInt64.self, at: offset)
        guard value <= UInt64(bytes.count) else {
            throw ApusError(
                .invalidInput,
                "the zip directory gives \(value), the file has \(bytes.count) bytes; "
                    + "it is truncated or damaged")
        }
        return Int(value)
    }

    /// The bytes of a range that must lie in the file.
    func slice(_ start: Int, _ length: Int) throws(ApusError) -> UnsafeRawBufferPointer {
        guard start >= 0, length >= 0, start <= bytes.count, length <= bytes.count - start else {
            throw ApusError(.invalidInput, "expected a zip archive; it ends too early and may be truncated")
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + length])
    }
}
