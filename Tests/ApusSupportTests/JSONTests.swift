import ApusSupport
import TestNumbers
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), source: "t.json") }

    private func message(_ bytes: [UInt8]) -> String {
        do {
            _ = try JSON.parse(bytes, source: "t.json")
            return "no error"
        } catch { return "\(error)" }
    }

    private func message(_ text: String) -> String { message(Array(text.utf8)) }

    @Test func readsEveryKind() throws {
        let json = try parse(#" {"a": [1, -2.5e3, true, false, null, "x"], "b": {"c": {}}, "d": []} "#)
        #expect(json.kind == .object && json.count == 3)
        #expect(json["a"]?.elements.map(\.kind) == [.number, .number, .bool, .bool, .null, .string])
        #expect(json["a"]?[1]?.double == -2500)
        #expect(json["a"]?[1]?.int == -2500)
        #expect(json["a"]?[5]?.string == "x")
        #expect(json["a"]?[4]?.isNull == true)
        #expect(json["a"]?[6] == nil && json["a"]?[-1] == nil)
        #expect(json["b"]?["c"]?.count == 0)
        #expect(json["missing"] == nil && json["d"]?["a"] == nil)
        #expect(json.members.map(\.key) == ["a", "b", "d"])
    }

    @Test func keepsIntegersExact() throws {
        let json = try parse(
            "[9223372036854775807, -9223372036854775808, 9223372036854775808, 1e3, 4.0, 0.5, 1e300]")
        #expect(json.elements.map(\.int) == [Int.max, Int.min, nil, 1000, 4, nil, nil])
        #expect(json[2]?.double == 9223372036854775808)
    }

    @Test func readsPythonsNumbers() throws {
        let json = try parse("[NaN, Infinity, -Infinity, -1]")
        #expect(json[0]?.double?.isNaN == true)
        #expect(json[1]?.double == .infinity && json[2]?.double == -.infinity && json[3]?.int == -1)
        #expect(json[1]?.int == nil)
    }

    @Test func lastDuplicateWins() throws {
        #expect(try parse(#"{"a":1,"a":2}"#)["a"]?.int == 2)
    }

    @Test func decodesEscapesAndReplacesLoneSurrogates() throws {
        let json = try parse(
            #"["\u00e9\n\t\"\\\/\b\f\r", "\ud83d\ude00", "\ud83d", "\ude00x", "\ud83d\u0041"]"#)
        #expect(json[0]?.string == "é\n\t\"\\/\u{8}\u{C}\r")
        #expect(json[1]?.string == "😀")
        #expect(json[2]?.string == "\u{FFFD}")
        #expect(json[3]?.string == "\u{FFFD}x")
        #expect(json[4]?.string == "\u{FFFD}A")
        #expect(try parse(#"{"\u0061":1}"#)["a"]?.int == 1)
        #expect(json[1]?.withUTF8 { Array($0) } == [0xF0, 0x9F, 0x98, 0x80])
    }

    @Test func skipsAByteOrderMark() throws {
        #expect(try JSON.parse([0xEF, 0xBB, 0xBF, 0x37], source: "t.json").int == 7)
    }

    @Test func errorsSayWhereAndWhatWasExpected() {
        #expect(message("") == "t.json: line 1, column 1: expected a value, got the end of the document")
        #expect(message("{\n  \"é\" 1}") == "t.json: line 2, column 7: expected \":\", got \"1\"")
        #expect(message("[1 2]") == "t.json: line 1, column 4: expected \",\" or \"]\", got \"2\"")
        #expect(message("[1,]") == "t.json: line 1, column 4: expected a value, got \"]\"")
        #expect(message("{,}") == "t.json: line 1, column 2: expected a member's name or \"}\", got \",\"")
        #expect(message("01") == "t.json: line 1, column 2: expected the end of the document, got \"1\"")
        #expect(message("1.") == "t.json: line 1, column 3: expected a digit, got the end of the document")
        #expect(
            message("\"a")
                == "t.json: line 1, column 1: expected \"\\\"\" to end the string, got the end of the document"
        )
        #expect(
            message("\"\n\"")
                == "t.json: line 1, column 2: expected a string without control characters, got 0x0A")
        #expect(
            message("\"\\x\"")
                == "t.json: line 1, column 3: expected one of \" \\ / b f n r t u after \"\\\", got \"x\"")
        #expect(
            message([0x22, 0xC3, 0x28, 0x22])
                == "t.json: line 1, column 2: expected UTF-8, got byte 0xC3 (offset 1)")
        #expect(message([0x22, 0xED, 0xA0, 0x80, 0x22]).contains("offset 1"))
        #expect(message("nul") == "t.json: line 1, column 1: expected a value, got \"n\"")
    }

    @Test func deepNestingIsAnErrorAndNoOverflow() throws {
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(message(deep).contains("at most 1000 nested"))
        let most = String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
        #expect(JSONValue(try parse(most)).text() == most)
    }

    @Test func namesAFileThatIsMissingOrADirectory() {
        #expect(throws: ApusError(.notFound, "/nonexistent/x.json: no such file; check the path")) {
            try JSON.parse(contentsOfFile: "/nonexistent/x.json")
        }
        #expect(throws: ApusError(.io, "/: expected a file, got a directory")) {
            try JSON.parse(contentsOfFile: "/")
        }
    }

    @Test func writtenTextReadsBackTheSame() throws {
        let value: JSONValue = [
            "int": 1, "double": 0.1, "tiny": 5e-324, "text": "a\"\\\n\u{1}é😀", "list": [1, [], nil, true],
            "object": [:],
        ]
        for pretty in [false, true] {
            #expect(JSONValue(try parse(value.text(pretty: pretty))) == value)
        }
        #expect(JSONValue.array([1, .double(.nan)]).text() == "[1,null]")
        #expect(
            JSONValue.object([("b", 1), ("a", [1, 2])]).text(pretty: true)
                == "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}")
    }

    @Test func mutatedDocumentsNeverCrash() {
        let seedText =
            #"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00\n"],"ключ":{"c":{"d":[[],{}]}},"n":[NaN,-Infinity]}"#
        let original = Array(seedText.utf8)
        var random = Numbers(seed: 7)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0...(random.next() % 4) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(original[Int(random.next() % UInt64(original.count))], at: at)
                default: bytes.removeSubrange(at...)
                }
                if bytes.isEmpty { break }
            }
            guard let json = try? JSON.parse(bytes, source: "fuzz") else { continue }
            accepted += 1
            let text = JSONValue(json).text()
            #expect(throws: Never.self) { try JSON.parse(Array(text.utf8), source: "written") }
        }
        #expect(accepted > 100)
    }
}
