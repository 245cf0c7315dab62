internal import ApusSupport

/// A compiled regular expression with the meaning that Oniguruma gives it, matched on UTF-8 bytes.
final class Regex: Sendable {
    let pattern: String
    let program: RegexProgram

    init(_ pattern: String) throws(ApusError) {
        self.pattern = pattern
        var parser = RegexParser(pattern)
        program = try RegexProgram(try parser.parse(), pattern: pattern)
    }

    /// Calls `body` with each match of a well-formed UTF-8 text, from left to right.
    ///
    /// An empty match right behind the match before it is passed over, as Oniguruma's iterator does.
    func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>, _ body: (_ start: Int, _ end: Int) -> Void
    ) throws(ApusError) {
        let count = text.count
        let isExhausted = program.withMatcher(text) { matcher in
            var from = 0
            var lastEnd = -1
            while from <= count, let match = matcher.firstMatch(from: from) {
                if match.end == match.start, match.end == lastEnd {
                    from += from < count ? utf8Length(text[from]) : 1
                    continue
                }
                body(match.start, match.end)
                from = match.end
                lastEnd = match.end
            }
            return matcher.isExhausted
        }
        if isExhausted {
            throw ApusError(
                .unsupported,
                "regular expression \(JSONValue.string(pattern).text()): its look-around takes too many steps on "
                    + "a text of \(count) bytes; split the text or simplify the pattern")
        }
    }

    /// The ranges of all matches, for callers that are not in a hurry.
    func matches(in text: [UInt8]) throws(ApusError) -> [Range<Int>] {
        var result: [Range<Int>] = []
        try text.withUnsafeBufferPointer { buffer throws(ApusError) in
            try forEachMatch(in: buffer) { result.append($0..<$1) }
        }
        return result
    }
}

extension RegexProgram {
    func withMatcher<R>(_ text: UnsafeBufferPointer<UInt8>, _ body: (inout RegexMatcher) -> R) -> R {
        code.withUnsafeBufferPointer { code in
            sets.withUnsafeBufferPointer { sets in
                filters.withUnsafeBufferPointer { filters in
                    var matcher = RegexMatcher(
                        text: text, code: code, sets: sets, filters: filters, trees: trees,
                        firstBytes: firstBytes,
                        registerCount: registerCount)
                    return body(&matcher)
                }
            }
        }
    }
}

/// The length in bytes of the scalar that begins with `lead`.
@inline(__always) func utf8Length(_ lead: UInt8) -> Int {
    lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
}

/// The scalar at an offset of well-formed UTF-8, and its length in bytes.
@inline(__always) func decodeScalar(_ text: UnsafePointer<UInt8>, _ at: Int) -> (scalar: UInt32, length: Int)
{
    let lead = UInt32(text[at])
    if lead < 0x80 { return (lead, 1) }
    let second = UInt32(text[at &+ 1]) & 0x3F
    if lead < 0xE0 { return ((lead & 0x1F) << 6 | second, 2) }
    let third = UInt32(text[at &+ 2]) & 0x3F
    if lead < 0xF0 { return ((lead & 0x0F) << 12 | second << 6 | third, 3) }
    return ((lead & 0x07) << 18 | second << 12 | third << 6 | UInt32(text[at &+ 3]) & 0x3F, 4)
}
