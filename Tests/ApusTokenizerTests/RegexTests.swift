import ApusSupport
import TestNumbers
import Testing

@testable import ApusTokenizer

@Suite struct RegexTests {
    private func matches(_ pattern: String, _ text: String) throws -> [String] {
        let bytes = Array(text.utf8)
        return try Regex(pattern).matches(in: bytes).map { String(decoding: bytes[$0], as: UTF8.self) }
    }

    @Test func matchesAsOnigurumaDoes() throws {
        #expect(try matches(#"a|ab"#, "ab") == ["a"])
        #expect(try matches(#"[^\r\n\p{L}]?\p{L}+"#, " über x9y") == [" über", " x", "9y"])
        #expect(try matches(#"\s+(?!\S)|\s+"#, "a   b\n ") == ["  ", " ", "\n "])
        #expect(try matches(#"(?i:'s|'LL)"#, "'S 'll 'ſ") == ["'S", "'ll", "'ſ"])
        #expect(try matches(#"\p{N}{1,3}+"#, "12345") == ["12345"])
        #expect(try matches(#"a{2}?"#, "aaa") == ["aa", ""])
        #expect(try matches(#"a++a"#, "aaa") == [])
        #expect(try matches(#"(?>a+)b|a"#, "aac") == ["a", "a"])
        #expect(try matches(#"(?<=\d)(?=(?:\d{3})+$)"#, "1234567").count == 2)
        #expect(try matches(#"[\p{L}&&[^\p{Han}]]+"#, "ab漢字c") == ["ab", "c"])
        #expect(try matches(#"[[:upper:]\d_-]+"#, "aB_1-c") == ["B_1-"])
        #expect(try matches(#"\x{4e16}|\u754C"#, "世界") == ["世", "界"])
        #expect(try matches(#"^a.$"#, "ab\na\n") == ["ab"])
        #expect(try matches(#"a{,2}b|x{y"#, "aabx{y") == ["aab", "x{y"])
        #expect(try matches(#"\Ba|(?#comment)b(?i)c|D"#, "ba bC bd") == ["a", "bC", "bd"])
        #expect(try matches(#"(?x) a  b # end"#, "ab") == ["ab"])
        #expect(try matches(#"x*"#, "axb") == ["", "x", ""])
    }

    @Test(arguments: [
        #"(a"#, #"a)"#, #"[a"#, #"*"#, #"\"#, #"a{3,2}"#, #"\p{Nope}"#, #"(?<n>a)\1"#, #"\X"#, #"(?s)a"#,
        #"[z-a]"#,
        #"(?<=a*)b"#, #"(?=a"#, #"[[:nope:]]"#, #"\x{110000}"#, #"((((a{1000}){1000}){1000}){1000})"#,
    ]) func unknownSyntaxIsAnErrorThatNamesThePattern(_ pattern: String) {
        #expect { try Regex(pattern) } throws: { "\($0)".contains("regular expression \"") }
    }

    @Test func scannersEqualTheEngine() throws {
        let alphabet = Array("ab Zé世1२½'sSſtrevlLdm.,!\n\r\t \u{3000}\u{85}😀\u{301}-_".unicodeScalars)
        var random = Numbers(seed: 11)
        for pattern in [WordScanner.gpt2Pattern, WordScanner.llama3Pattern, WordScanner.qwen2Pattern] {
            let scanner = try #require(WordScanner(pattern: pattern))
            let regex = try Regex(pattern)
            for _ in 0..<1500 {
                var text = String.UnicodeScalarView()
                for _ in 0..<random.next() % 24 {
                    text.append(alphabet[Int(random.next() % UInt64(alphabet.count))])
                }
                let bytes = Array(String(text).utf8)
                var scanned: [Range<Int>] = []
                bytes.withUnsafeBufferPointer { scanner.forEachMatch(in: $0) { scanned.append($0..<$1) } }
                #expect(
                    try regex.matches(in: bytes) == scanned, "\(pattern) on \(String(text).debugDescription)")
            }
        }
    }

    @Test func nestedLoopsDoNotBlowUp() throws {
        let text = String(repeating: "a", count: 2000)
        #expect(try matches(#"(a+)+b"#, text) == [])
        #expect(try matches(#"(a|aa)+$"#, text) == [text])
        #expect(try matches(#"(a?){30}a{30}"#, String(repeating: "a", count: 30)).count == 1)
        #expect(try matches(#"(?:\s*)*x"#, String(repeating: " ", count: 2000)) == [])
    }

    @Test func patternsNeverCrash() {
        let alphabet = Array(#"ab\pPdswhRbAzZxu0{}[]()|?*+^$.-:=!<>#i&,19Ln"#.unicodeScalars)
        var random = Numbers(seed: 5)
        var compiled = 0
        for _ in 0..<20_000 {
            var pattern = String.UnicodeScalarView()
            for _ in 0...random.next() % 12 {
                pattern.append(alphabet[Int(random.next() % UInt64(alphabet.count))])
            }
            guard let regex = try? Regex(String(pattern)) else { continue }
            compiled += 1
            _ = try? regex.matches(in: Array("ab1 ab\nñ世a".utf8))
        }
        #expect(compiled > 1000)
    }
}
