import ApusSupport
import Testing

@testable import ApusTokenizer

/// What Hugging Face `tokenizers` makes of texts, as Tools/make_tokenizer_fixtures.py recorded it.
@Suite struct FixtureTests {
    static let names = [
        "byte-normalizer", "cl100k", "continuing", "deepseek", "end-of-word", "falcon", "fused", "gemma",
        "gpt2",
        "gpt2-truncated", "llama2", "llama2-unknown", "llama3", "look-around", "lowercase",
        "metaspace-always",
        "metaspace-first", "metaspace-strip", "o200k", "padded", "qwen2", "roberta", "split-contiguous",
        "split-merged-with-next", "split-merged-with-previous", "split-removed",
    ]

    @Test(arguments: names) func encodesAndDecodesAsTheReference(_ name: String) throws {
        let tokenizer = try Tokenizer(folder: fixture(name))
        for line in try fileLines(fixture(name) + "/cases.jsonl") {
            let expected = try JSON.parse(line, source: "\(name)/cases.jsonl")
            let text = try #require(expected["text"]?.string)
            #expect(try tokenizer.encode(text) == ids(expected["ids"]), "\(text.debugDescription)")
            let raw = try tokenizer.encode(utf8: Array(text.utf8), addSpecialTokens: false)
            #expect(raw == ids(expected["raw"]), "\(text.debugDescription)")
            for (key, wanted, skips) in [
                ("decoded", "ids", true), ("full", "raw", false), ("scattered_decoded", "scattered", false),
            ] {
                let given = ids(expected[wanted])
                // Equality of strings would take canonically equivalent texts for the same.
                let decoded = try tokenizer.decode(given, skipSpecialTokens: skips)
                let reference = try #require(expected[key]?.string)
                #expect(Array(decoded.utf8) == Array(reference.utf8), "\(key) of \(given)")
                try expectStream(tokenizer, given, skips, gives: decoded)
            }
        }
    }

    private func expectStream(_ tokenizer: Tokenizer, _ ids: [Int32], _ skips: Bool, gives text: String)
        throws
    {
        var stream = tokenizer.makeStreamingDetokenizer(skipSpecialTokens: skips)
        var bytes: [UInt8] = []
        for id in ids { bytes += try stream.append(id).utf8 }
        bytes += try stream.finish().utf8
        #expect(bytes == Array(text.utf8), "streaming \(ids)")
    }

    @Test func oneTokenizerServesManyTasks() async throws {
        let tokenizer = try Tokenizer(folder: fixture("llama3"))
        let text = "In the beginning, God created the heaven 123 times — 你好 мир."
        let expected = try tokenizer.encode(text)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 {
                group.addTask { (0..<50).allSatisfy { _ in (try? tokenizer.encode(text)) == expected } }
            }
            for await isEqual in group { #expect(isEqual) }
        }
    }

    @Test func vocabularyIsFoundByTokenAndByID() throws {
        let tokenizer = try Tokenizer(folder: fixture("llama3"))
        let id = try #require(tokenizer.id(of: "<|im_start|>"))
        #expect(tokenizer.token(of: id) == "<|im_start|>")
        #expect(tokenizer.isSpecial(id) && !tokenizer.isSpecial(5))
        #expect(tokenizer.vocabularySize == Int(tokenizer.highestID) + 1)
        #expect(tokenizer.token(of: tokenizer.highestID + 1) == nil && tokenizer.token(of: -1) == nil)
        #expect(try tokenizer.decode([5, 9999, -1]) == tokenizer.decode([5]))
        #expect(throws: ApusError.self) { try tokenizer.decode(strict: [5, 9999]) }
    }
}

func fixture(_ name: String) -> String { folder(of: #filePath) + "/Fixtures/" + name }

private func folder(of path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
}

func ids(_ json: JSON?) -> [Int32] { json?.elements.map { Int32($0.int ?? -1) } ?? [] }

/// The lines of a file of JSON values, one a line.
func fileLines(_ path: String) throws -> [[UInt8]] {
    try readBytes(path).split(separator: 10).map { Array($0) }
}
