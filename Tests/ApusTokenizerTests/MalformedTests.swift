import ApusSupport
import TestNumbers
import Testing

@testable import ApusTokenizer

@Suite struct MalformedTests {
    private func message(_ json: JSONValue) -> String {
        do {
            _ = try Tokenizer(json: try JSON.parse(Array(json.text().utf8), source: "tokenizer.json"))
            return "no error"
        } catch { return "\(error)" }
    }

    /// The byte-level tokenizer with one key replaced.
    private func with(_ key: String, _ value: JSONValue?, in part: String? = nil) -> JSONValue {
        func replace(_ json: JSONValue, _ key: String, _ value: JSONValue?) -> JSONValue {
            guard case .object(let members) = json else { return json }
            return .object(members.filter { $0.0 != key } + (value.map { [(key, $0)] } ?? []))
        }
        let file = Tokenizer.byteLevelTokenizerJSON()
        guard let part, case .object(let members) = file, let inner = members.first(where: { $0.0 == part })
        else {
            return replace(file, key, value)
        }
        return replace(file, part, replace(inner.1, key, value))
    }

    @Test func errorsNameTheFileAndTheKey() {
        #expect(message(with("model", nil)) == "tokenizer.json: key \"model\" is missing")
        #expect(message(with("vocab", nil, in: "model")) == "tokenizer.json: model: key \"vocab\" is missing")
        #expect(
            message(with("vocab", [1], in: "model"))
                == "tokenizer.json: model.vocab: expected an object, got a value of kind array")
        #expect(
            message(with("vocab", ["a": -1], in: "model"))
                == "tokenizer.json: model.vocab.a: expected an id from 0 to 16777216")
        #expect(
            message(with("vocab", ["a": 1, "b": 1], in: "model"))
                == "tokenizer.json: model.vocab: two tokens have the same id")
        #expect(
            message(with("merges", ["a zz"], in: "model"))
                == "tokenizer.json: model.merges[0]: token \"zz\" is not in the vocabulary")
        #expect(
            message(with("merges", ["a b", ["a"]], in: "model")).hasPrefix(
                "tokenizer.json: model.merges[0]: token"))
        #expect(
            message(with("merges", ["abc"], in: "model"))
                == "tokenizer.json: model.merges[0]: expected two tokens with one space between them")
        #expect(
            message(with("type", "Unigram", in: "model"))
                == "tokenizer.json: model.type: model \"Unigram\" is not supported; expected \"BPE\"")
        #expect(
            message(with("normalizer", ["type": "Precompiled"]))
                == "tokenizer.json: normalizer.type: normalizer \"Precompiled\" is not supported")
        #expect(
            message(with("added_tokens", [["id": 1]]))
                == "tokenizer.json: added_tokens[0]: key \"content\" is missing")
        #expect(
            message(
                with(
                    "pre_tokenizer",
                    ["type": "Split", "pattern": ["Regex": "(a"], "behavior": "Isolated", "invert": false]))
                == "tokenizer.json: pre_tokenizer.pattern.Regex: regular expression \"(a\", offset 0: "
                + "expected \")\" to end the group")
        #expect(message(with("version", "2.0")) == "tokenizer.json: version: expected \"1.0\", got \"2.0\"")
        #expect(message([]) == "tokenizer.json: expected an object, got a value of kind array")
    }

    @Test func aMissingFileIsNamed() {
        #expect { try Tokenizer(folder: "/nonexistent") } throws: {
            ($0 as? ApusError)?.code == .notFound && "\($0)".contains("/nonexistent/tokenizer.json")
        }
    }

    @Test func bytesThatAreNotUTF8AreAnError() throws {
        let tokenizer = try Tokenizer(
            json: JSON.parse(Array(Tokenizer.byteLevelTokenizerJSON().text().utf8), source: "tokenizer.json"))
        #expect { try tokenizer.encode(utf8: [97, 0xFF]) } throws: { "\($0)".contains("offset 1") }
    }

    @Test func theByteLevelTokenizerTakesAnyText() throws {
        let json = Tokenizer.byteLevelTokenizerJSON(specialTokens: ["<s>", "</s>"])
        let tokenizer = try Tokenizer(json: JSON.parse(Array(json.text().utf8), source: "tokenizer.json"))
        let text = "a\0é 世界 👩‍👩‍👧‍👦\r\n\u{85}"
        #expect(tokenizer.vocabularySize == 258)
        #expect(try tokenizer.encode(text) == text.utf8.map { Int32($0) })
        #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
        #expect(try tokenizer.encode("<s>a</s>") == [256, 97, 257])
        #expect(try tokenizer.decode([256, 97, 257]) == "a")
        #expect(try tokenizer.encode("") == [])
        #expect(try tokenizer.decode([]) == "")
    }

    @Test func streamsNeverSplitACharacter() throws {
        let json = Tokenizer.byteLevelTokenizerJSON()
        let tokenizer = try Tokenizer(json: JSON.parse(Array(json.text().utf8), source: "tokenizer.json"))
        var stream = tokenizer.makeStreamingDetokenizer()
        #expect(try [0xF0, 0x9F, 0x98, 0x80, 0xE4].map { try stream.append($0) } == ["", "", "", "😀", ""])
        #expect(try stream.finish() == "\u{FFFD}")
    }

    @Test(arguments: ["qwen2", "llama2", "padded", "deepseek"]) func mutatedFilesNeverCrash(_ name: String)
        throws
    {
        let original = try readBytes(fixture(name) + "/tokenizer.json")
        // Everything but the vocabulary and the merges, where most of the bytes are.
        let model = try #require(original.indices.first { original[$0...].starts(with: "\"vocab\"".utf8) })
        var random = Numbers(seed: 3)
        var loaded = 0
        for _ in 0..<40 {
            var bytes = original
            for _ in 0...(random.next() % 3) {
                let at = Int(random.next() % UInt64(random.next() % 4 == 0 ? bytes.count : model))
                switch random.next() % 3 {
                case 0: bytes[at] = original[Int(random.next() % UInt64(original.count))]
                case 1: bytes.remove(at: at)
                default: bytes.insert(original[Int(random.next() % UInt64(model))], at: at)
                }
            }
            guard let json = try? JSON.parse(bytes, source: "fuzz"),
                let tokenizer = try? Tokenizer(json: json)
            else {
                continue
            }
            loaded += 1
            let ids = try? tokenizer.encode(" Hello, wörld! 123 <s>\n 世界")
            _ = try? tokenizer.decode(ids ?? [1, 2, 3])
        }
        #expect(loaded > 0)
    }
}
