import ApusSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct FileTests {
    static func temporaryPath() -> String {
        "/tmp/apus-file-\(getpid())-\(UInt64.random(in: .min ... .max))"
    }

    @Test func whatIsWrittenIsMapped() throws {
        let path = Self.temporaryPath()
        let output = try OutputFile(path: path)
        try output.write("héllo")
        #expect(!OutputFile.exists(path))
        try output.finish()
        defer { unlink(path) }
        let file = try MappedFile(path: path)
        #expect(file.count == 6)
        for _ in 0..<2 {
            try file.withBytes { #expect(String(decoding: $0, as: UTF8.self) == "héllo") }
            file.dropPages(0..<100)
        }
    }

    @Test func filesAreReadAtAnyPlace() throws {
        let path = Self.temporaryPath()
        let output = try OutputFile(path: path, suffix: ".mine")
        #expect(OutputFile.exists(path + ".mine"))
        try output.write("0123456789")
        try output.finish()
        defer { unlink(path) }
        let file = try InputFile(path: path)
        #expect(file.count == 10)
        #expect(try file.bytes(3..<6) == Array("345".utf8))
        #expect(try file.bytes() == Array("0123456789".utf8))
        #expect(try file.bytes(10..<10) == [])
        #expect(throws: ApusError.self) { try file.bytes(5..<11) }
        // A file that gets shorter while it is open is an error, not a signal.
        #expect(truncate(path, 4) == 0)
        let error = #expect(throws: ApusError.self) { try file.bytes(2..<8) }
        #expect(error?.message == "\(path): expected 6 bytes at 2, got 2: the file was cut short")
        #expect(throws: ApusError.self) { try InputFile(path: "/") }
        #expect(throws: ApusError.self) { try InputFile(path: "/nowhere") }
        #expect(Folder.names(in: "/nowhere") == [] && Folder.absolutePath("/usr/../tmp/.") == "/tmp")
    }

    @Test func emptyFilesMapToNothing() throws {
        let path = Self.temporaryPath()
        try OutputFile(path: path).finish()
        defer { unlink(path) }
        let file = try MappedFile(path: path)
        try file.withBytes { #expect($0.isEmpty) }
        file.dropPages(0..<0)
    }

    @Test func abandonedFilesLeaveNothing() throws {
        let path = Self.temporaryPath()
        do { try OutputFile(path: path).write("x") }
        #expect(!OutputFile.exists(path) && !OutputFile.exists(path + ".partial"))
    }

    @Test func failuresNameThePath() throws {
        let missing = #expect(throws: ApusError.self) { try MappedFile(path: "/no/such/file") }
        #expect(missing?.description == "/no/such/file: no such file; check the path")
        let folder = #expect(throws: ApusError.self) { try MappedFile(path: "/tmp") }
        #expect(folder?.description == "/tmp: expected a file, got a directory")
        let output = #expect(throws: ApusError.self) { try OutputFile(path: "/no/such/file") }
        #expect(output?.description == "/no/such/file: cannot create: No such file or directory")
    }

    @Test func foldersAreMadeWithThoseAboveThem() throws {
        let path = Self.temporaryPath()
        try OutputFile.makeFolder(path + "/a//b/")
        defer {
            rmdir(path + "/a/b")
            rmdir(path + "/a")
            rmdir(path)
        }
        #expect(OutputFile.isFolder(path + "/a/b"))
        try OutputFile.makeFolder(path + "/a")
    }
}
