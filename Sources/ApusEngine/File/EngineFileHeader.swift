public import ApusSupport

/// The first bytes of an engine file: what it is for, and where its sections lie.
///
/// `docs/engine-file.md` gives the form byte by byte. All numbers are little-endian.
public struct EngineFileHeader: Sendable, Hashable {
    /// One section of a file.
    public struct Section: Sendable, Hashable {
        /// Its name, such as `plan` or `tokenizer/tokenizer.json`.
        public var name: String
        /// Offset of its first byte in the file.
        public var offset: Int
        /// Its size in bytes.
        public var byteCount: Int
        /// ``SectionHash`` of its bytes.
        public var hash: UInt64
    }

    /// Version of the format that is written and read.
    public static let formatVersion: UInt32 = 2
    /// The eight bytes that every engine file begins with; the line ends in it show a transfer as text.
    static let magic: [UInt8] = [0x89, 0x41, 0x50, 0x55, 0x53, 0x0D, 0x0A, 0x1A]
    /// Bytes before the table, and of each entry of it.
    static let fixedBytes = 64
    static let entryBytes = 64
    private static let deviceBytes = 16
    private static let nameBytes = 40
    /// A file of more sections than this is no engine.
    private static let mostSections = 1024
    private static let headerHashOffset = 56

    /// Name of the backend that the engine was compiled for.
    public let device: String
    /// Version of the layout that this backend packs weights in.
    public let weightLayout: Int
    /// The sections in the order of the file.
    public let sections: [Section]
    /// Size of the file in bytes.
    public let fileByteCount: Int

    /// Lays out sections of the given sizes one after the other.
    /// - Throws: `.invalidInput` for a name that does not fit.
    init(
        device: String, weightLayout: Int, sections: [(name: String, byteCount: Int, hash: UInt64)]
    ) throws(ApusError) {
        self.device = device
        self.weightLayout = weightLayout
        var offset = Self.fixedBytes + Self.entryBytes * sections.count
        var placed: [Section] = []
        for section in sections {
            offset = Self.aligned(offset, section.name)
            placed.append(
                Section(
                    name: section.name, offset: offset, byteCount: section.byteCount, hash: section.hash))
            offset += section.byteCount
        }
        self.sections = placed
        fileByteCount = offset
        for (text, limit) in [(device, Self.deviceBytes)] + placed.map({ ($0.name, Self.nameBytes) })
        where !Self.isName(Array(text.utf8), limit) {
            throw ApusError(
                .invalidInput,
                "engine file: expected a name of 1 to \(limit) visible ASCII characters, got '\(text)'")
        }
    }

    /// The section of that name.
    public func section(_ name: String) -> Section? { sections.first { $0.name == name } }

    /// One number for all that the sections hold, whatever machine wrote the file.
    public var contentHash: UInt64 { XXHash64.hash(table) }

    /// Bytes of the header with its table.
    var byteCount: Int { Self.fixedBytes + Self.entryBytes * sections.count }

    /// Weights start at a huge page, so that a device may read them straight from the file; the rest at a cache line.
    private static func aligned(_ offset: Int, _ name: String) -> Int {
        let alignment = name == EngineSection.weights ? HugeBuffer.pageBytes : 64
        return (offset + alignment - 1) / alignment * alignment
    }

    private static func isName(_ bytes: some Collection<UInt8>, _ limit: Int) -> Bool {
        (1...limit).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    }

    // MARK: Writing

    private var table: [UInt8] {
        var bytes: [UInt8] = []
        for section in sections {
            bytes += Self.padded(section.name, Self.nameBytes)
            for value in [UInt64(section.offset), UInt64(section.byteCount), section.hash] {
                bytes += Self.bytes(value)
            }
        }
        return bytes
    }

    /// The header and table as the file has them.
    var encoded: [UInt8] {
        var bytes = Self.magic
        bytes += Self.bytes(Self.formatVersion) + Self.bytes(UInt32(byteCount))
        bytes += Self.bytes(UInt64(fileByteCount)) + Self.bytes(contentHash)
        bytes += Self.padded(device, Self.deviceBytes)
        bytes += Self.bytes(UInt32(clamping: weightLayout)) + Self.bytes(UInt32(sections.count))
        bytes += Self.bytes(UInt64(0)) + table
        bytes.replaceSubrange(
            Self.headerHashOffset..<Self.headerHashOffset + 8, with: Self.bytes(XXHash64.hash(bytes)))
        return bytes
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func padded(_ text: String, _ count: Int) -> [UInt8] {
        Array(text.utf8) + [UInt8](repeating: 0, count: max(count - text.utf8.count, 0))
    }

    // MARK: Reading

    /// Whether bytes begin as an engine file does.
    static func isEngine(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

    /// Reads the header of a file and checks it against itself and the file's size.
    /// - Throws: `.invalidInput` for a file that is no engine, cut short or damaged, `.unsupported` for another
    ///   version of the format.
    public init(_ file: InputFile) throws(ApusError) {
        self = try ApusError.within(file.path) { () throws(ApusError) in
            try Self.read(file)
        }
    }

    private static func read(_ file: InputFile) throws(ApusError) -> EngineFileHeader {
        let start = try file.bytes(0..<min(fixedBytes, file.count))
        guard isEngine(start) else {
            throw ApusError(
                .invalidInput,
                "expected an engine of 'apus compile', got something else: it begins with other bytes")
        }
        guard start.count >= 16 else { throw cutShort(expected: fixedBytes, got: file.count) }
        let version: UInt32 = number(start, 8)
        guard version == formatVersion else {
            throw ApusError(
                .unsupported,
                "header: expected format version \(formatVersion), got \(version); compile the model anew with this "
                    + "version of Apus")
        }
        let size = Int(number(start, 12) as UInt32)
        guard size >= fixedBytes, (size - fixedBytes) % entryBytes == 0,
            size <= fixedBytes + entryBytes * mostSections
        else { throw damaged("header", "a size of 64 for each section and 64 more", "\(size)") }
        guard size <= file.count else { throw cutShort(expected: size, got: file.count) }
        var bytes = try file.bytes(0..<size)
        let stored: UInt64 = number(bytes, headerHashOffset)
        bytes.replaceSubrange(headerHashOffset..<headerHashOffset + 8, with: [UInt8](repeating: 0, count: 8))
        let hash = XXHash64.hash(bytes)
        guard hash == stored else {
            throw damaged("header", "hash \(XXHash64.text(stored))", XXHash64.text(hash))
        }
        let fileBytes: UInt64 = number(bytes, 16)
        guard fileBytes == UInt64(file.count) else {
            throw cutShort(expected: Int(clamping: fileBytes), got: file.count)
        }
        return try EngineFileHeader(bytes)
    }

    /// Takes apart a header whose hash is right; whoever wrote it may still have written nonsense.
    private init(_ bytes: [UInt8]) throws(ApusError) {
        let count = (bytes.count - Self.fixedBytes) / Self.entryBytes
        let announced: UInt32 = Self.number(bytes, 52)
        guard Int(announced) == count else {
            throw Self.damaged("header", "\(count) sections", "\(announced)")
        }
        let device = try Self.name(bytes[32..<32 + Self.deviceBytes])
        var sections: [(name: String, byteCount: Int, hash: UInt64)] = []
        var offsets: [UInt64] = []
        let total: UInt64 = Self.number(bytes, 16)
        for index in 0..<count {
            let at = Self.fixedBytes + Self.entryBytes * index
            let size: UInt64 = Self.number(bytes, at + 48)
            guard size <= total, total < 1 << 50 else {
                throw Self.damaged("header", "a section within \(total) bytes", "\(size) bytes")
            }
            offsets.append(Self.number(bytes, at + 40))
            sections.append(
                (try Self.name(bytes[at..<at + Self.nameBytes]), Int(size), Self.number(bytes, at + 56)))
        }
        guard Set(sections.map(\.name)).count == count else {
            throw Self.damaged("header", "different names of sections", "one twice")
        }
        let layout: UInt32 = Self.number(bytes, 48)
        try self.init(device: device, weightLayout: Int(layout), sections: sections)
        for (section, offset) in zip(self.sections, offsets) where section.offset != Int(clamping: offset) {
            throw Self.damaged("header", "section '\(section.name)' at \(section.offset)", "\(offset)")
        }
        guard total == UInt64(fileByteCount) else {
            throw Self.damaged("header", "a file of \(fileByteCount) bytes", "\(total)")
        }
        let stored: UInt64 = Self.number(bytes, 24)
        guard stored == contentHash else {
            throw Self.damaged("header", "content hash \(XXHash64.text(contentHash))", XXHash64.text(stored))
        }
    }

    /// A name that is filled up with zeros.
    private static func name(_ bytes: ArraySlice<UInt8>) throws(ApusError) -> String {
        let text = bytes.prefix { $0 != 0 }
        guard isName(text, bytes.count), bytes.dropFirst(text.count).allSatisfy({ $0 == 0 }) else {
            throw damaged("header", "a name", "bytes that are none")
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func number<T: FixedWidthInteger>(_ bytes: [UInt8], _ at: Int) -> T {
        bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
    }

    private static func cutShort(expected: Int, got: Int) -> ApusError {
        ApusError(
            .invalidInput,
            "expected \(expected) bytes, got \(got): the file is \(got < expected ? "cut short" : "too long"); copy it "
                + "again or compile the model anew")
    }

    /// The error for something in a file that no writer of Apus put there.
    static func damaged(_ place: String, _ expected: String, _ got: String) -> ApusError {
        ApusError(
            .invalidInput,
            "\(place): expected \(expected), got \(got): the file is damaged; copy it again or compile the model anew"
        )
    }
}
