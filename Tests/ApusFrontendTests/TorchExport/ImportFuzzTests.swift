import ApusSupport
import TestNumbers
import Testing

@testable import ApusFrontend

/// No bytes make the reader crash, hang or ask for much memory: they are imported or refused.
@Suite struct ImportFuzzTests {
    private func program() -> TestProgram {
        let x = ("self", #"{"as_tensor": {"name": "x"}}"#)
        var program = TestProgram()
        program.call(
            "aten.slice.Tensor", [x, ("dim", #"{"as_int": 2}"#), ("start", #"{"as_int": -3}"#)], to: "a", 7,
            "[1, S, 3]")
        program.call(
            "aten.cat.default",
            [("tensors", #"{"as_tensors": [{"name": "a"}, {"name": "x"}]}"#), ("dim", #"{"as_int": -1}"#)],
            to: "b", 7, "[1, S, 7]")
        program.call(
            "aten.view.default",
            [
                ("self", #"{"as_tensor": {"name": "b"}}"#),
                ("size", #"{"as_sym_ints": [{"as_int": 1}, {"as_int": -1}, {"as_int": 7}]}"#),
            ], to: "c", 7, "[1, S, 7]")
        program.call(
            "aten.add_.Tensor",
            [("self", #"{"as_tensor": {"name": "a"}}"#), ("other", #"{"as_float": 1.5}"#)], to: "d", 7,
            "[1, S, 3]")
        program.call(
            "aten.softmax.int", [("self", #"{"as_tensor": {"name": "c"}}"#), ("dim", #"{"as_int": -1}"#)],
            to: "y", 7, "[1, S, 7]")
        return program
    }

    private func tryImport(_ bytes: [UInt8], _ folder: TemporaryFolder) throws {
        try folder.write("fuzz.pt2", bytes)
        do {
            _ = try Importer.importProgram(path: "\(folder.path)/fuzz.pt2")
        } catch {
            #expect(error.code != .internal, "\(error)")
        }
    }

    @Test func flippedBytesOfTheArchive() throws {
        let folder = try TemporaryFolder()
        let bytes = program().bytes()
        var numbers = Numbers(seed: 1)
        // The directory stands at the end: half of the flips hit it.
        let directory = bytes.count - 700
        for round in 0..<3000 {
            var copy = bytes
            for _ in 0...Int.random(in: 0..<3, using: &numbers) {
                let place = Int.random(
                    in: round % 2 == 0 ? 0..<bytes.count : directory..<bytes.count, using: &numbers)
                copy[place] =
                    round % 3 == 0
                    ? [0, 0xFF, 0x80, 1].randomElement(using: &numbers) ?? 0
                    : copy[place] ^ UInt8(1 << (round % 8))
            }
            try tryImport(copy, folder)
        }
    }

    @Test func truncatedArchives() throws {
        let folder = try TemporaryFolder()
        let bytes = program().bytes()
        for length in stride(from: 0, to: bytes.count, by: 7) {
            try folder.write("cut.pt2", Array(bytes[..<length]))
            #expect(throws: ApusError.self) { try Importer.importProgram(path: "\(folder.path)/cut.pt2") }
        }
    }

    /// The JSON alone, with a checksum that fits, so that the reader of the schema sees it.
    @Test func changedPrograms() throws {
        let folder = try TemporaryFolder()
        let template = program()
        let json = Array(template.json.utf8)
        var numbers = Numbers(seed: 2)
        let tokens = [
            "-1", "0", "99999999999", "null", "\"x\"", "[]", "{}", "S", "as_int", "as_none", "aten",
            "9223372036854775807", "-9223372036854775808",
        ]
        for round in 0..<2000 {
            var copy = json
            let place = Int.random(in: 0..<copy.count, using: &numbers)
            switch round % 4 {
            case 0: copy[place] = UInt8.random(in: 32..<127, using: &numbers)
            case 1:
                copy.removeSubrange(place..<min(copy.count, place + Int.random(in: 1..<40, using: &numbers)))
            case 2: copy.insert(contentsOf: (tokens.randomElement(using: &numbers) ?? "").utf8, at: place)
            default:
                // Another number in place of one that is there.
                let digits = copy.indices.filter { (48...57).contains(copy[$0]) }
                let digit = digits.randomElement(using: &numbers) ?? 0
                copy.replaceSubrange(digit...digit, with: (tokens.randomElement(using: &numbers) ?? "").utf8)
            }
            try tryImport(template.bytes(json: String(decoding: copy, as: UTF8.self)), folder)
        }
    }

    /// A real archive, flipped where its directory and configs stand.
    @Test func flippedBytesOfARealArchive() throws {
        let folder = try TemporaryFolder()
        let path = try #require(ProgramFixture.all.first { $0.testDescription.hasPrefix("gpt2/raw") }).path
        let bytes = try MappedFile(path: path).withBytes { Array($0) }
        var numbers = Numbers(seed: 3)
        for _ in 0..<150 {
            var copy = bytes
            let place = Int.random(in: bytes.count - 5000..<bytes.count, using: &numbers)
            copy[place] ^= UInt8(truncatingIfNeeded: numbers.next() | 1)
            try tryImport(copy, folder)
        }
    }
}
