internal import ApusSupport

/// Byte-pair encoding: the pieces of a text to token ids.
///
/// Source: tokenizers, models/bpe/model.rs; Sennrich et al., Neural Machine Translation of Rare Words with
/// Subword Units (2016).
final class BPEModel: Sendable {
    let tokens: TokenTable
    let pairs: PairTable
    let options: Options
    private let unknownID: Int32?
    /// What a scalar of one byte starts as; with byte-level input, what any byte starts as.
    ///
    /// -1: not a token.
    private let byteIDs: [Int32]
    private let fallbackIDs: [Int32]?
    private let cut: WordStartCut?

    struct Options: Sendable {
        var unknownToken: String?
        var prefix: [UInt8] = []
        var suffix: [UInt8] = []
        var fusesUnknown = false
        var hasByteFallback = false
        var ignoresMerges = false
        /// Pieces are raw bytes, of which each stands for its character of the byte-level alphabet.
        var isByteLevel = false
    }

    init(tokens: TokenTable, pairs: PairTable, options: Options, cut: WordStartCut?) {
        self.tokens = tokens
        self.pairs = pairs
        self.options = options
        unknownID = options.unknownToken.flatMap { tokens.id(of: Array($0.utf8)) }
        byteIDs = (0..<256).map { byte in
            let text =
                options.isByteLevel
                ? ByteAlphabet.utf8(UInt8(byte)) : byte < 128 ? [UInt8(byte)] : []
            return text.isEmpty ? -1 : tokens.id(of: text) ?? -1
        }
        fallbackIDs =
            options.hasByteFallback
            ? (0..<256).map { tokens.id(of: Array(ByteFallback.token(UInt8($0)).utf8)) ?? -1 } : nil
        // With ignore_merges a part of a piece and a piece of the same text may differ.
        self.cut = options.ignoresMerges ? nil : cut
    }

    /// Appends the ids of a piece, of which 32 bytes from its start on have to be readable.
    func encode(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch, into output: inout [Int32]
    ) {
        if count <= WordCache.maximumBytes {
            encodeWord(text, count, &scratch, into: &output)
            return
        }
        if options.ignoresMerges, let id = wholeID(text, count) {
            output.append(id)
            return
        }
        guard let cut else { return encodeUncached(text, count, &scratch, into: &output) }
        var start = 0
        while start < count {
            let end = cut.nextCut(text, start, count)
            if end - start <= WordCache.maximumBytes {
                encodeWord(text + start, end - start, &scratch, into: &output)
            } else {
                encodeUncached(text + start, end - start, &scratch, into: &output)
            }
            start = end
        }
    }

    @inline(__always) private func encodeWord(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch,
        into output: inout [Int32]
    ) {
        let key = WordCache.Key(text, count)
        if scratch.cache.append(key, to: &output) { return }
        encodeNewWord(text, count, &scratch, key, into: &output)
    }

    private func encodeNewWord(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch, _ key: WordCache.Key,
        into output: inout [Int32]
    ) {
        let start = output.count
        if options.ignoresMerges, let id = wholeID(text, count) {
            output.append(id)
        } else {
            encodeUncached(text, count, &scratch, into: &output)
        }
        scratch.cache.insert(key, output[start...])
    }

    private func encodeUncached(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch, into output: inout [Int32]
    ) {
        scratch.ids.removeAll(keepingCapacity: true)
        if options.isByteLevel {
            splitBytes(text, count, &scratch)
        } else {
            splitScalars(text, count, &scratch)
        }
        scratch.mergeAll(pairs)
        output.append(contentsOf: scratch.ids)
    }

    private func wholeID(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int32? {
        let bytes = UnsafeBufferPointer(start: text, count: count)
        guard options.isByteLevel else { return tokens.id(of: bytes) }
        return tokens.id(of: ByteAlphabet.encode(bytes))
    }

    private func splitBytes(_ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch) {
        var pending: Int32?
        for at in 0..<count {
            let id = byteIDs[Int(text[at])]
            if id >= 0 {
                if let unknown = pending { scratch.ids.append(unknown) }
                pending = nil
                scratch.ids.append(id)
            } else {
                addUnknown(&pending, &scratch)
            }
        }
        if let unknown = pending { scratch.ids.append(unknown) }
    }

    private func addUnknown(_ pending: inout Int32?, _ scratch: inout MergeScratch) {
        guard let unknownID else { return }
        if let unknown = pending, !options.fusesUnknown { scratch.ids.append(unknown) }
        pending = unknownID
    }

    private func splitScalars(_ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout MergeScratch) {
        var pending: Int32?
        var at = 0
        while at < count {
            let length = utf8Length(text[at])
            let symbol = symbolID(text, at, length, count)
            if symbol >= 0 {
                if let unknown = pending { scratch.ids.append(unknown) }
                pending = nil
                scratch.ids.append(symbol)
            } else if !addFallback(text, at, length, count, &scratch) {
                addUnknown(&pending, &scratch)
            }
            at &+= length
        }
        if let unknown = pending { scratch.ids.append(unknown) }
    }

    @inline(__always) private func symbolID(
        _ text: UnsafePointer<UInt8>, _ at: Int, _ length: Int, _ count: Int
    ) -> Int32 {
        if options.prefix.isEmpty, options.suffix.isEmpty {
            if length == 1 { return byteIDs[Int(text[at])] }
            return tokens.id(of: UnsafeBufferPointer(start: text + at, count: length)) ?? -1
        }
        return tokens.id(of: affixed(text, at, length, count)) ?? -1
    }

    private func affixed(_ text: UnsafePointer<UInt8>, _ at: Int, _ length: Int, _ count: Int) -> [UInt8] {
        (at > 0 ? options.prefix : []) + UnsafeBufferPointer(start: text + at, count: length)
            + (at + length == count ? options.suffix : [])
    }

    /// Adds a token for each byte; false if there is no such token for one of them.
    private func addFallback(
        _ text: UnsafePointer<UInt8>, _ at: Int, _ length: Int, _ count: Int, _ scratch: inout MergeScratch
    ) -> Bool {
        guard let fallbackIDs else { return false }
        let symbol = affixed(text, at, length, count)
        guard symbol.allSatisfy({ fallbackIDs[Int($0)] >= 0 }) else { return false }
        for byte in symbol { scratch.ids.append(fallbackIDs[Int(byte)]) }
        return true
    }
}

/// Where a long piece may be cut so that its parts encode as the whole: in front of `▁`, the SentencePiece sign
/// for a space, behind any scalar that no merge joins to it.
///
/// A tokenizer without a pre-tokenizer sees a whole text as one piece; this makes it as fast as words are.
struct WordStartCut: Sendable {
    /// The scalars that some merge joins to a `▁` behind them.
    let joined: Set<UInt32>

    static let sign: [UInt8] = [0xE2, 0x96, 0x81]

    func nextCut(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        var at = start + utf8Length(text[start])
        var last = decodeScalar(text, start).scalar
        while at < count {
            let (scalar, length) = decodeScalar(text, at)
            if scalar == 0x2581, !joined.contains(last) { return at }
            last = scalar
            at &+= length
        }
        return count
    }
}
