import ApusSupport
import Testing

@testable import ApusFrontend

@Suite struct ZipArchiveTests {
    private func open(_ writer: ZipWriter) throws -> ZipArchive {
        let folder = try TemporaryFolder()
        try folder.write("a.zip", writer.bytes())
        return try ZipArchive(file: try MappedFile(path: "\(folder.path)/a.zip"))
    }

    private func failure(_ writer: ZipWriter) -> String {
        do {
            _ = try open(writer)
            return ""
        } catch {
            return "\(error)"
        }
    }

    private var sample: ZipWriter {
        var writer = ZipWriter()
        writer.add("top/first", "one")
        writer.add("top/empty", "")
        writer.add("top/second", [UInt8](0...255))
        return writer
    }

    @Test(arguments: [true, false], [true, false])
    func entriesAreFound(isZip64: Bool, isStreamed: Bool) throws {
        var writer = sample
        (writer.isZip64, writer.isStreamed) = (isZip64, isStreamed)
        writer.entries[2].isWide = isZip64
        let archive = try open(writer)
        #expect(archive.entries.count == 3 && archive.firstName == "top/first")
        #expect(try archive.contents(of: "top/first") == Array("one".utf8))
        #expect(try archive.contents(of: "top/empty").isEmpty)
        #expect(try archive.contents(of: "top/second") == [UInt8](0...255))
        #expect(throws: ApusError.self) { try archive.contents(of: "top/third") }
    }

    @Test func theChecksumIsCRC32() {
        #expect(CRC32.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
        #expect(CRC32.checksum([UInt8]()) == 0)
    }

    @Test func damagedContentsAreNoticed() throws {
        var writer = sample
        writer.entries[0].checksum = 1
        let archive = try open(writer)
        let error = #expect(throws: ApusError.self) { try archive.contents(of: "top/first") }
        #expect(error?.message.contains("checksum") == true)
    }

    @Test func whatIsNotStoredIsRefused() {
        var writer = sample
        writer.entries[1].method = 8
        #expect(failure(writer).contains("'top/empty' is compressed (method 8)"))
        writer = sample
        writer.entries[1].flags = 1
        #expect(failure(writer).contains("is encrypted"))
    }

    @Test func contradictionsAreRefused() {
        var writer = sample
        writer.entries[0].offset = 1
        #expect(failure(writer).contains("has no local header"))
        writer = sample
        writer.entries[1] = writer.entries[0]
        writer.entries[1].offset = 0
        writer.entries[1].name = "top/again"
        #expect(failure(writer).contains("overlap"))
        writer = sample
        writer.entries[1].name = "top/first"
        #expect(failure(writer).contains("listed twice"))
        for size in [257, 100_000, 0xFFFF_FFF0, 1 << 40, Int.max] {
            writer = sample
            writer.entries[2].size = size
            writer.entries[2].isWide = size > 0xFFFF_FFFF
            #expect(!failure(writer).isEmpty, "\(size)")
        }
        writer = sample
        writer.entries[2].offset = 1 << 62
        writer.entries[2].isWide = true
        #expect(failure(writer).contains("damaged"))
    }

    /// Every prefix of an archive is an error, and none is read past its end.
    @Test func everyTruncationIsRefused() throws {
        let folder = try TemporaryFolder()
        for isZip64 in [true, false] {
            var writer = sample
            writer.isZip64 = isZip64
            let bytes = writer.bytes()
            for length in 0..<bytes.count {
                try folder.write("cut.zip", Array(bytes[..<length]))
                #expect(throws: ApusError.self) {
                    _ = try ZipArchive(file: try MappedFile(path: "\(folder.path)/cut.zip"))
                }
            }
        }
    }

    /// A directory that claims billions of entries is refused before memory is asked for.
    @Test func hugeCountsAreRefused() throws {
        let folder = try TemporaryFolder()
        var bytes = sample.bytes()
        let count = bytes.count - 22 - 20 - 56 + 32
        for index in 0..<6 { bytes[count + index] = 0xFF }
        try folder.write("huge.zip", bytes)
        #expect(throws: ApusError.self) {
            _ = try ZipArchive(file: try MappedFile(path: "\(folder.path)/huge.zip"))
        }
    }
}
