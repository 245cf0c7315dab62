import Apus
import ApusCompiler
import ApusFrontend
import ApusGraph
import ApusSupport
import Foundation
import TestNumbers
import Testing

@testable import ApusEngine

@Suite struct EngineFileTests {
    @Test(
        arguments: ["gpt2", "llama3-tied", "qwen2-minimal", "qwen3", "llama-rope-linear"],
        [ElementType.f32, .f16, .bf16])
    func whatIsLoadedComputesTheSameBits(fixture: String, precision: ElementType) throws {
        let model = try Sample.imported(fixture)
        let engine = try Sample.compile(model, precision: precision)
        let temporary = TemporaryFile()
        try EngineFile.write(
            engine, generation: model.generation, tokenizer: Sample.tokenizer, to: temporary.path)
        let file = try EngineFile(path: temporary.path)
        let loaded = try file.load(for: Sample.backend())
        #expect(try Sample.weights(loaded) == Sample.weights(engine))
        #expect(try Sample.logits(loaded) == Sample.logits(engine))
        #expect(loaded.info == engine.info && loaded.precision == precision && loaded.origin == engine.origin)
        #expect(file.manifest.generation == model.generation)
        #expect(try file.attachedTokenizer() == Sample.tokenizer)
        #expect(try file.tokenizerFile("vocab.json") == nil)
        try file.verify()
        // Writing what was loaded gives the same file.
        let again = TemporaryFile()
        try EngineFile.write(
            loaded, generation: file.manifest.generation, tokenizer: file.attachedTokenizer(), to: again.path)
        #expect(try again.bytes() == temporary.bytes())
    }

    @Test func theLayoutIsAsDocumented() throws {
        let temporary = try Sample.file()
        let bytes = try temporary.bytes()
        let header = try EngineFile(path: temporary.path).header
        #expect(bytes.prefix(8) == [0x89, 0x41, 0x50, 0x55, 0x53, 0x0D, 0x0A, 0x1A])
        #expect(bytes[8..<12] == [2, 0, 0, 0])
        #expect(String(decoding: bytes[32..<35], as: UTF8.self) == "cpu")
        #expect(
            header.sections.map(\.name) == [
                "info", "plan", "source", "tokenizer/tokenizer.json", "tokenizer/chat_template.jinja",
                "weights",
            ])
        for section in header.sections {
            #expect(section.offset % (section.name == "weights" ? 2 << 20 : 64) == 0)
            let part = Array(bytes[section.offset..<section.offset + section.byteCount])
            #expect(SectionHash.hash(part) == section.hash)
        }
        #expect(header.fileByteCount == bytes.count)
        let prefix = temporary.path.split(separator: "/").last ?? ""
        let left = try FileManager.default.contentsOfDirectory(
            atPath: FileManager.default.temporaryDirectory.path)
        #expect(left.filter { $0.hasPrefix(prefix) }.count == 1)
    }

    /// The hash of several chunks, computed by threads, is the hash of the chunks' hashes.
    @Test func largeSectionsAreHashedInChunks() {
        let bytes = (0..<(9 << 20) + 5).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 12) }
        var hashes: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            let hash = XXHash64.hash(Array(bytes[start..<min(start + 1 << 20, bytes.count)]))
            hashes += withUnsafeBytes(of: hash.littleEndian) { Array($0) }
        }
        #expect(hashes.count == 80)
        #expect(SectionHash.hash(bytes) == XXHash64.hash(hashes))
        #expect(SectionHash.hash([]) == XXHash64.hash([UInt8]()))
    }

    /// What opening and loading a file ends with; nil if it is fine.
    private func failure(_ path: String) throws -> ApusError? {
        do {
            let file = try EngineFile(path: path)
            _ = try file.load(for: Sample.backend())
            _ = try file.attachedTokenizer()
            return nil
        } catch {
            return try #require(error as? ApusError)
        }
    }

    @Test func foreignFilesAreNamed() throws {
        let file = TemporaryFile()
        for bytes in [[], [0x89], Array("PK\u{3}\u{4} something".utf8), [UInt8](repeating: 0, count: 5000)] {
            try file.write(bytes)
            #expect(
                try failure(file.path)?.description
                    == "\(file.path): expected an engine of 'apus compile', got something else: it begins with other bytes"
            )
            #expect(!EngineFile.isEngine(path: file.path))
        }
        #expect(
            try failure("/nowhere.apus")?.code == .notFound)
        #expect(
            try failure("/")?.code == .io)
    }

    @Test func otherVersionsDevicesAndLayoutsAreNamed() throws {
        let file = try Sample.file()
        try file.patch([3], at: 8)
        let version = try #require(try failure(file.path))
        #expect(version.code == .unsupported)
        #expect(
            version.description
                == "\(file.path): header: expected format version 2, got 3; compile the model anew with this version of "
                + "Apus")

        let model = try Sample.imported("llama2-minimal")
        var blueprint = try Sample.compile(model).blueprint
        let weights = try Sample.compile(model).weights
        blueprint.origin.device = "cuda"
        try EngineFile.write(
            Engine(blueprint, weights: weights, plugins: .standard), generation: model.generation,
            to: file.path)
        #expect(
            try failure(file.path)?.description
                == "\(file.path): header: expected an engine for device 'cpu', got one for 'cuda'; compile the model for "
                + "this device")
        blueprint.origin.device = "cpu"
        blueprint.origin.weightLayout = 7
        try EngineFile.write(
            Engine(blueprint, weights: weights, plugins: .standard), generation: model.generation,
            to: file.path)
        #expect(
            try failure(file.path)?.code == .mismatch)
        #expect(
            try failure(file.path)?.message.contains("expected weights in layout 2 of 'cpu', got layout 7")
                == true)
    }

    @Test func everyDamagedSectionIsNamed() throws {
        let file = try Sample.file()
        let header = try EngineFile(path: file.path).header
        let bytes = try file.bytes()
        for section in header.sections {
            let at = section.offset + section.byteCount / 2
            try file.patch([bytes[at] ^ 0x10], at: at)
            let error = try #require(try failure(file.path), "section \(section.name)")
            #expect(error.code == .invalidInput)
            #expect(
                error.description.hasPrefix(
                    "\(file.path): section '\(section.name)': expected hash \(XXHash64.text(section.hash)), got "
                ))
            #expect(
                error.description.hasSuffix("the file is damaged; copy it again or compile the model anew"))
            #expect(throws: ApusError.self) { try EngineFile(path: file.path).verify() }
            try file.patch([bytes[at]], at: at)
        }
        #expect(
            try failure(file.path) == nil)
        try file.patch([1], at: header.sections[5].offset - 1)
        #expect(
            try failure(file.path)?.message.contains("the space before section 'weights': expected zeros")
                == true
        )
        try file.patch([0, 1], at: header.sections[5].offset - 1)
        try file.write(bytes + [0])
        #expect(
            try failure(file.path)?.message.contains("the file is too long") == true)
        try file.write(bytes.dropLast())
        #expect(
            try failure(file.path)?.message.contains("the file is cut short") == true)
    }

    @Test func anyFlippedBitIsFound() throws {
        let file = try Sample.file()
        let header = try EngineFile(path: file.path).header
        let bytes = try file.bytes()
        var random = Numbers(seed: 1)
        var places = (0..<header.byteCount).map { ($0, Int.random(in: 0..<8, using: &random)) }
        for section in header.sections {
            for _ in 0..<Fuzz.rounds(200) {
                places.append(
                    (
                        section.offset + .random(in: 0..<section.byteCount, using: &random),
                        .random(in: 0..<8, using: &random)
                    ))
            }
        }
        for _ in 0..<100 {
            places.append((.random(in: 0..<bytes.count, using: &random), .random(in: 0..<8, using: &random)))
        }
        for (at, bit) in places {
            try file.patch([bytes[at] ^ 1 << bit], at: at)
            #expect(
                try failure(file.path) != nil, "bit \(bit) of byte \(at)")
            try file.patch([bytes[at]], at: at)
        }
        #expect(
            try failure(file.path) == nil)
    }

    @Test func anyTruncationIsFound() throws {
        let file = try Sample.file()
        let bytes = try file.bytes()
        var random = Numbers(seed: 2)
        var lengths = Array(0..<600) + (0..<100).map { _ in Int.random(in: 0..<bytes.count, using: &random) }
        lengths.sort(by: >)
        for length in lengths {
            // Longest first: a file can be cut again.
            #expect(truncate(file.path, off_t(length)) == 0)
            #expect(
                try failure(file.path) != nil, "\(length) bytes")
        }
    }
}
