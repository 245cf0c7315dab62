internal import ApusSupport

/// What Split and Replace look for: a literal text or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case regex(Regex)
    case scanner(WordScanner)

    /// A regular expression, or the scanner made for it if it is one of those that models share.
    static func expression(_ pattern: String) throws(ApusError) -> TextPattern {
        if let scanner = WordScanner(pattern: pattern) { return .scanner(scanner) }
        return .regex(try Regex(pattern))
    }

    /// Calls `body` with each match, from left to right.
    @inline(__always) func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>, _ body: (_ start: Int, _ end: Int) -> Void
    ) throws(ApusError) {
        switch self {
        case .regex(let regex): try regex.forEachMatch(in: text, body)
        case .scanner(let scanner): scanner.forEachMatch(in: text, body)
        case .literal(let literal): Self.forEachLiteral(literal, text, body)
        }
    }

    func ranges(in text: [UInt8]) throws(ApusError) -> [Range<Int>] {
        var result: [Range<Int>] = []
        try text.withUnsafeBufferPointer { buffer throws(ApusError) in
            try forEachMatch(in: buffer) { result.append($0..<$1) }
        }
        return result
    }

    private static func forEachLiteral(
        _ literal: [UInt8], _ text: UnsafeBufferPointer<UInt8>, _ body: (Int, Int) -> Void
    ) {
        guard let first = literal.first else {
            // An empty pattern matches between any two characters.
            var at = 0
            while at <= text.count {
                body(at, at)
                at += at < text.count ? utf8Length(text[at]) : 1
            }
            return
        }
        let length = literal.count
        literal.withUnsafeBufferPointer { literal in
            var at = 0
            scan: while at &+ length <= text.count {
                guard text[at] == first else {
                    at &+= 1
                    continue
                }
                for offset in 1..<max(length, 1) where text[at &+ offset] != literal[offset] {
                    at &+= 1
                    continue scan
                }
                body(at, at &+ length)
                at &+= length
            }
        }
    }
}
