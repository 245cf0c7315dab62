/// Hand-written scanners for the patterns that most byte-level models share; equal to the general engine.
///
/// Recognised by the text of the pattern, so that a pattern that differs by one character gets the engine.
struct WordScanner: Sendable {
    private enum Style: Sendable {
        case gpt2
        /// Llama 3 with up to three digits together, Qwen 2 and 3 with one.
        case llama3(digits: Int)
    }

    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    static let llama3Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    static let qwen2Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    static let gpt2 = WordScanner(.gpt2)

    private let style: Style

    private init(_ style: Style) { self.style = style }

    init?(pattern: String) {
        switch pattern {
        case Self.gpt2Pattern: style = .gpt2
        case Self.llama3Pattern: style = .llama3(digits: 3)
        case Self.qwen2Pattern: style = .llama3(digits: 1)
        default: return nil
        }
    }

    /// Calls `body` with each match; together they cover the text.
    @inline(__always) func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>, _ body: (_ start: Int, _ end: Int) -> Void
    ) {
        guard let base = text.baseAddress else { return }
        let cursor = ScalarKinds(base: base, count: text.count)
        var at = 0
        switch style {
        case .gpt2:
            while at < text.count {
                let end = cursor.gpt2End(at)
                body(at, end)
                at = end
            }
        case .llama3(let digits):
            while at < text.count {
                let end = cursor.llama3End(at, digits)
                body(at, end)
                at = end
            }
        }
    }
}

/// A text seen as letters, numbers, white space and the rest.
private struct ScalarKinds {
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 3
    static let other: UInt8 = 4

    /// The kind of each byte below 128, and of each general category.
    ///
    /// Immortal, and never written after they are made.
    private nonisolated(unsafe) static let tables: (UnsafePointer<UInt8>, UnsafePointer<UInt8>) = {
        let letters = ScalarSet(.letters)
        let numbers = ScalarSet(.numbers)
        let ascii = UnsafeMutablePointer<UInt8>.allocate(capacity: 128)
        for scalar in UInt32(0)..<128 {
            (ascii + Int(scalar)).initialize(
                to: letters.contains(scalar)
                    ? letter
                    : numbers.contains(scalar)
                        ? number : ScalarSet.whitespace.contains(scalar) ? space : other)
        }
        let categories = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        for category in UInt8(0)...255 {
            let mask = UnicodeCategory.Mask(rawValue: category < 32 ? 1 << UInt32(category) : 0)
            let spaces = UnicodeCategory.Mask.separators.union(.init(.nextLine))
            (categories + Int(category)).initialize(
                to: mask.isSubset(of: .letters)
                    ? letter
                    : mask.isSubset(of: .numbers) ? number : mask.isSubset(of: spaces) ? space : other)
        }
        return (UnsafePointer(ascii), UnsafePointer(categories))
    }()

    let base: UnsafePointer<UInt8>
    let count: Int
    private let ascii: UnsafePointer<UInt8>
    private let kinds: UnsafePointer<UInt8>
    private let categories = UnicodeTables.shared.categories

    init(base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
        (ascii, kinds) = Self.tables
    }

    @inline(__always) private func kind(_ at: Int) -> (kind: UInt8, length: Int) {
        let lead = base[at]
        if lead < 0x80 { return (ascii[Int(lead)], 1) }
        let (scalar, length) = decodeScalar(base, at)
        return (kinds[Int(categories[scalar])], length)
    }

    @inline(__always) private func runEnd(_ start: Int, _ wanted: UInt8) -> Int {
        var at = start
        while at < count {
            let (kind, length) = kind(at)
            if kind != wanted { break }
            at &+= length
        }
        return at
    }

    @inline(__always) func gpt2End(_ at: Int) -> Int {
        let lead = base[at]
        if lead == UInt8(ascii: "'"), let length = contraction(at, ignoresCase: false) { return at &+ length }
        let from = lead == 0x20 ? at &+ 1 : at
        if from < count {
            let (kind, length) = kind(from)
            if kind != Self.space { return runEnd(from &+ length, kind) }
        }
        return spaceEnd(at, stopsAtNewline: false)
    }

    @inline(__always) func llama3End(_ at: Int, _ digits: Int) -> Int {
        let lead = base[at]
        if lead == UInt8(ascii: "'"), let length = contraction(at, ignoresCase: true) { return at &+ length }
        let (first, length) = kind(at)
        let after = at &+ length
        if first == Self.letter { return runEnd(after, Self.letter) }
        if first == Self.number {
            var end = after
            var taken = 1
            while taken < digits, end < count, case let (kind, length) = kind(end), kind == Self.number {
                end &+= length
                taken &+= 1
            }
            return end
        }
        if lead != 10, lead != 13, after < count, case let (next, length) = kind(after) {
            if next == Self.letter { return runEnd(after &+ length, Self.letter) }
            if lead == 0x20, next == Self.other { return newlinesEnd(runEnd(after &+ length, Self.other)) }
        }
        if first == Self.other { return newlinesEnd(runEnd(after, Self.other)) }
        return spaceEnd(at, stopsAtNewline: true)
    }

    private func newlinesEnd(_ start: Int) -> Int {
        var at = start
        while at < count, base[at] == 10 || base[at] == 13 { at &+= 1 }
        return at
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first of them only if `stopsAtNewline`.
    private func spaceEnd(_ start: Int, stopsAtNewline: Bool) -> Int {
        var at = start
        var last = start
        var newline = -1
        while at < count {
            let (kind, length) = kind(at)
            if kind != Self.space { break }
            if base[at] == 10 || base[at] == 13 { newline = at &+ 1 }
            last = at
            at &+= length
        }
        if stopsAtNewline, newline >= 0 { return newline }
        // The last space goes with the word behind it, unless it is the only one.
        return at < count && last > start ? last : at
    }

    /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at an apostrophe.
    private func contraction(_ at: Int, ignoresCase: Bool) -> Int? {
        guard at &+ 1 < count else { return nil }
        let fold: UInt8 = ignoresCase ? 0x20 : 0
        let next = base[at &+ 1] | fold
        switch next {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"):
            let wanted = next == UInt8(ascii: "l") ? UInt8(ascii: "l") : UInt8(ascii: "e")
            return at &+ 2 < count && base[at &+ 2] | fold == wanted ? 3 : nil
        case 0xC5 | fold:
            // U+017F, the long s, is an s to a match without case.
            return ignoresCase && base[at &+ 1] == 0xC5 && at &+ 2 < count && base[at &+ 2] == 0xBF ? 3 : nil
        default: return nil
        }
    }
}
