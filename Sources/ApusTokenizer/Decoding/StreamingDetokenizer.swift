public import ApusSupport

/// Turns ids into text as they come; what it has given, all together, is what `decode` gives for all the ids.
///
/// It gives complete characters only, and looks at each token once: the cost of a token does not depend on how
/// many came before. A decoder that works on the whole text at once (a regular expression behind Fuse) holds its
/// text back until ``finish()``, and byte tokens of SentencePiece are held until their run ends, because a run
/// that is not UTF-8 decodes differently as a whole.
public struct StreamingDetokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    private var stages: [DecoderStage]

    init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = skipSpecialTokens
        var isFused = false
        stages = []
        for decoder in tokenizer.decoders {
            stages.append(DecoderStage(decoder, isFused: isFused))
            isFused = isFused || decoder.fuses
        }
    }

    /// The text that this id completes, possibly none.
    public mutating func append(_ id: Int32) throws(ApusError) -> String {
        var bytes: [UInt8] = []
        try append(id, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text that is still held back; an incomplete character at the end becomes U+FFFD.
    public mutating func finish() throws(ApusError) -> String {
        var bytes: [UInt8] = []
        try finish(into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    mutating func append(_ id: Int32, into bytes: inout [UInt8]) throws(ApusError) {
        guard let token = tokenizer.tokenBytes(id, skippingSpecial: skipsSpecialTokens) else { return }
        try run([token], from: 0, into: &bytes)
    }

    mutating func finish(into bytes: inout [UInt8]) throws(ApusError) {
        for stage in stages.indices {
            var output: [[UInt8]] = []
            try stages[stage].finish(&output)
            try run(output, from: stage + 1, into: &bytes)
        }
    }

    private mutating func run(_ tokens: [[UInt8]], from first: Int, into bytes: inout [UInt8])
        throws(ApusError)
    {
        var tokens = tokens
        for stage in first..<max(first, stages.count) {
            var output: [[UInt8]] = []
            for token in tokens { try stages[stage].push(token, &output) }
            if output.isEmpty { return }
            tokens = output
        }
        for token in tokens { bytes += token }
    }
}
