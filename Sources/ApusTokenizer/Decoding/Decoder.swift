internal import ApusSupport

/// A step from tokens to text.
///
/// Source: tokenizers, src/decoders.
enum Decoder: Sendable {
    case byteLevel
    case byteFallback
    case fuse
    case metaspace(replacement: UInt32, dropsFirst: Bool)
    case replace(TextPattern, content: [UInt8])
    case strip(content: UInt32, start: Int, stop: Int)
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    case bpe(suffix: [UInt8])
    case ctc(pad: [UInt8], delimiter: [UInt8], cleansUp: Bool)
    /// What is done when a tokenizer has no decoder: a space between any two tokens.
    case join

    /// Whether what follows this step sees one text and no tokens.
    var fuses: Bool {
        switch self {
        case .byteLevel, .fuse: true
        default: false
        }
    }
}

/// One step at work: takes the tokens as they come and gives on what is sure.
///
/// Behind a step that fuses, what comes are chunks of one text: a step that has to see that text whole keeps it
/// until the end, all others give on what no later chunk can change.
struct DecoderStage {
    let decoder: Decoder
    /// Whether the input is chunks of one text.
    let isFused: Bool
    private var index = 0
    private var held: [UInt8] = []
    private var heldTokens: [[UInt8]] = []
    private var stripped = 0
    private var isPastStart = false

    init(_ decoder: Decoder, isFused: Bool) {
        self.decoder = decoder
        self.isFused = isFused
    }

    /// Takes a token or a chunk.
    mutating func push(_ token: [UInt8], _ output: inout [[UInt8]]) throws(ApusError) {
        defer { index += 1 }
        switch decoder {
        case .fuse: output.append(token)
        case .join: output.append(index > 0 && !isFused ? [32] + token : token)
        case .byteLevel:
            if isFused { return held += token }
            pushBytes(token, &output)
        case .byteFallback:
            if isFused { return held += token }
            if let byte = ByteFallback.byte(token) {
                held.append(byte)
            } else {
                flushFallback(&output)
                output.append(token)
            }
        case .metaspace(let replacement, let dropsFirst):
            let drops = dropsFirst && (isFused || index == 0)
            var text = NormalizedText(bytes: token, originBytes: 0)
            text.map { $0 != replacement ? $0 : drops ? nil : 32 }
            output.append(text.bytes)
        case .replace(let pattern, let content):
            if isFused { return try pushReplaced(token, pattern, content, &output) }
            output.append(try Self.replaced(token, pattern, content))
        case .strip(let content, let start, let stop):
            if isFused { return pushStripped(token, content, start, stop, &output) }
            output.append(Self.stripped(token, content, start, stop))
        case .wordPiece:
            if isFused { return held += token }
            output.append(wordPiece(token, isFirst: index == 0))
        case .bpe(let suffix):
            if isFused { return held += token }
            if let last = heldTokens.popLast() {
                output.append(try Self.replaced(last, .literal(suffix), [32]))
            }
            heldTokens.append(token)
        case .ctc:
            if isFused { return held += token }
            if heldTokens.last == token { return }
            heldTokens = [token]
            if let text = ctc(token) { output.append(text) }
        }
    }

    /// Gives on what was kept, at the end of the text.
    mutating func finish(_ output: inout [[UInt8]]) throws(ApusError) {
        let rest = held
        held = []
        switch decoder {
        case .fuse, .join, .metaspace: break
        case .byteLevel:
            if isFused { pushBytes(rest, &output) }
            let tail = isFused ? held : rest
            if !tail.isEmpty { output.append(Array(String(decoding: tail, as: UTF8.self).utf8)) }
            held = []
        case .byteFallback:
            if isFused {
                held = ByteFallback.byte(rest).map { [$0] } ?? []
                if held.isEmpty { output.append(rest) }
            } else {
                held = rest
            }
            flushFallback(&output)
        case .replace(let pattern, let content):
            if isFused { output.append(try Self.replaced(rest, pattern, content)) }
        case .strip(let content, let start, let stop):
            if isFused {
                output.append(Self.stripped(rest, content, isPastStart ? 0 : start - stripped, stop))
            }
        case .wordPiece: if isFused { output.append(wordPiece(rest, isFirst: true)) }
        case .bpe(let suffix):
            let last = isFused ? rest : heldTokens.popLast() ?? []
            output.append(try Self.replaced(last, .literal(suffix), []))
        case .ctc: if isFused, let text = ctc(rest) { output.append(text) }
        }
    }

    /// Gives on the bytes of a byte-level token, but for the start of a character that is still to end.
    private mutating func pushBytes(_ token: [UInt8], _ output: inout [[UInt8]]) {
        let isAlphabet = token.withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &held) }
        if !isAlphabet { held += token }
        let end = completeUTF8Length(held)
        guard end > 0 else { return }
        let isValid = held.withUnsafeBufferPointer {
            firstInvalidUTF8(UnsafeBufferPointer(rebasing: $0[..<end])) == nil
        }
        if isValid {
            output.append(Array(held[..<end]))
        } else {
            output.append(Array(String(decoding: held[..<end], as: UTF8.self).utf8))
        }
        held.removeSubrange(..<end)
    }

    /// Ends a run of byte tokens: its text, or a replacement character for each byte if it is not UTF-8.
    private mutating func flushFallback(_ output: inout [[UInt8]]) {
        guard !held.isEmpty else { return }
        if held.withUnsafeBufferPointer({ firstInvalidUTF8($0) }) == nil {
            output.append(held)
        } else {
            for _ in held { output.append([0xEF, 0xBF, 0xBD]) }
        }
        held = []
    }

    private static func replaced(_ text: [UInt8], _ pattern: TextPattern, _ content: [UInt8])
        throws(ApusError)
        -> [UInt8]
    {
        if case .literal(let literal) = pattern, literal.isEmpty { return text }
        guard !text.isEmpty else { return [] }
        var result = NormalizedText(bytes: text, originBytes: 0)
        result.replace(try pattern.ranges(in: text), by: content)
        return result.bytes
    }

    private mutating func pushReplaced(
        _ chunk: [UInt8], _ pattern: TextPattern, _ content: [UInt8], _ output: inout [[UInt8]]
    ) throws(ApusError) {
        held += chunk
        guard case .literal(let literal) = pattern, !literal.isEmpty else { return }
        var from = 0
        var text: [UInt8] = []
        for range in try pattern.ranges(in: held) {
            text += held[from..<range.lowerBound] + content
            from = range.upperBound
        }
        // What may be the start of the next match has to wait.
        var wait = min(literal.count - 1, held.count - from)
        while wait > 0, !literal.starts(with: held[(held.count - wait)...]) { wait -= 1 }
        text += held[from..<held.count - wait]
        held.removeSubrange(..<(held.count - wait))
        if !text.isEmpty { output.append(text) }
    }

    /// Removes up to `start` scalars `content` in front and up to `stop` behind.
    private static func stripped(_ text: [UInt8], _ content: UInt32, _ start: Int, _ stop: Int) -> [UInt8] {
        var sign: [UInt8] = []
        appendUTF8(content, to: &sign)
        var rest = text[...]
        for _ in 0..<max(0, start) {
            guard rest.starts(with: sign) else { break }
            rest = rest.dropFirst(sign.count)
        }
        for _ in 0..<stop {
            guard rest.count >= sign.count, rest.suffix(sign.count).elementsEqual(sign) else { break }
            rest = rest.dropLast(sign.count)
        }
        return Array(rest)
    }

    private mutating func pushStripped(
        _ chunk: [UInt8], _ content: UInt32, _ start: Int, _ stop: Int, _ output: inout [[UInt8]]
    ) {
        held += chunk
        var sign: [UInt8] = []
        appendUTF8(content, to: &sign)
        while !isPastStart, stripped < start, held.starts(with: sign) {
            held.removeFirst(sign.count)
            stripped += 1
        }
        if stripped >= start || !held.isEmpty { isPastStart = true }
        var wait = 0
        for _ in 0..<stop where held.dropLast(wait).suffix(sign.count).elementsEqual(sign) {
            wait += sign.count
        }
        guard held.count > wait else { return }
        output.append(Array(held.dropLast(wait)))
        held.removeSubrange(..<(held.count - wait))
    }

    private func wordPiece(_ token: [UInt8], isFirst: Bool) -> [UInt8] {
        guard case .wordPiece(let prefix, let cleansUp) = decoder else { return token }
        var text = token
        if !isFirst {
            text = token.starts(with: prefix) ? Array(token.dropFirst(prefix.count)) : [32] + token
        }
        return cleansUp ? Self.cleanedUp(text) : text
    }

    private func ctc(_ token: [UInt8]) -> [UInt8]? {
        guard case .ctc(let pad, let delimiter, let cleansUp) = decoder else { return token }
        var text = Self.substituted(token, pad, [])
        if cleansUp { text = Self.substituted(Self.cleanedUp(text), delimiter, [32]) }
        return text.isEmpty ? nil : text
    }

    private static func cleanedUp(_ text: [UInt8]) -> [UInt8] {
        let rules = [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ]
        return rules.reduce(text) { substituted($0, Array($1.0.utf8), Array($1.1.utf8)) }
    }

    private static func substituted(_ text: [UInt8], _ from: [UInt8], _ to: [UInt8]) -> [UInt8] {
        guard !from.isEmpty else { return text }
        var result: [UInt8] = []
        var at = 0
        while at < text.count {
            if text[at...].starts(with: from) {
                result += to
                at += from.count
            } else {
                result.append(text[at])
                at += 1
            }
        }
        return result
    }
}

/// The length of the part of `bytes` that no byte behind it can change: all but the start of a character.
func completeUTF8Length(_ bytes: [UInt8]) -> Int {
    var start = bytes.count - 1
    let limit = max(0, bytes.count - 4)
    while start >= limit, start >= 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    guard start >= limit, start >= 0, bytes[start] >= 0xC2, bytes[start] <= 0xF4 else { return bytes.count }
    let lead = bytes[start]
    let have = bytes.count - start
    guard have < utf8Length(lead) else { return bytes.count }
    if have > 1 {
        // A second byte that cannot follow its lead makes the character invalid already.
        let second = bytes[start + 1]
        switch lead {
        case 0xE0 where second < 0xA0, 0xED where second > 0x9F, 0xF0 where second < 0x90,
            0xF4 where second > 0x8F:
            return bytes.count
        default: break
        }
    }
    return start
}
