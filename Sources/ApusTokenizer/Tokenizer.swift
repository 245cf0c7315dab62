public import ApusSupport
internal import Synchronization

/// A tokenizer read from the `tokenizer.json` of Hugging Face's `tokenizers`, and equal to it id for id.
///
/// Safe to use from many threads at once.
public final class Tokenizer: Sendable {
    let added: AddedTokens
    let normalizer: Normalizer?
    let preTokenizers: [PreTokenizer]
    let model: BPEModel
    let postProcessor: PostProcessor
    let decoders: [Decoder]
    let truncation: Truncation?
    let padding: Padding?
    /// Working memory that is not in use, so that the cache of words outlives a call.
    private let scratches = Mutex<[MergeScratch]>([])

    private static let keptScratches = 8

    /// Reads the tokenizer of a model's folder.
    ///
    /// - Throws: `.notFound` if the folder has no `tokenizer.json`, `.invalidInput` if it is malformed,
    ///   `.unsupported` if it uses something that Apus does not do; each names the file and the key.
    public convenience init(folder: String) throws(ApusError) {
        let path = folder.hasSuffix("/") ? folder + "tokenizer.json" : folder + "/tokenizer.json"
        let json: JSON
        do {
            json = try JSON.parse(contentsOfFile: path)
        } catch  where error.code == .notFound {
            throw ApusError(
                .notFound,
                "\(path): no such file; a tokenizer is read from tokenizer.json (transformers writes it with "
                    + "AutoTokenizer.from_pretrained(…).save_pretrained(…))")
        }
        try self.init(json: json)
    }

    /// Reads a tokenizer from the contents of a `tokenizer.json`.
    public init(json: JSON) throws(ApusError) {
        let parts = try TokenizerParts(json)
        added = parts.added
        normalizer = parts.normalizer
        preTokenizers = parts.preTokenizers
        model = parts.model
        postProcessor = parts.postProcessor
        decoders = parts.decoders
        truncation = parts.truncation
        padding = parts.padding
    }

    /// The ids of a text, with what the file's post-processor adds (such as a beginning-of-text token).
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws(ApusError) -> [Int32] {
        var text = text
        var result: Result<[Int32], ApusError> = .success([])
        text.withUTF8 { bytes in
            do throws(ApusError) {
                result = .success(try encodeValid(bytes, addSpecialTokens))
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// The ids of UTF-8 bytes.
    ///
    /// - Parameters:
    ///   - bytes: The text.
    ///   - addSpecialTokens: Whether the file's post-processor adds what it adds to a text.
    ///   - cuts: Whether `truncation` and `padding` of the file apply, which are made for batches of short texts.
    /// - Throws: `.invalidInput` with the offset of the first byte that is not UTF-8.
    public func encode(
        utf8 bytes: [UInt8], addSpecialTokens: Bool = true, cuts: Bool = true
    ) throws(ApusError) -> [Int32] {
        try bytes.withUnsafeBufferPointer { buffer throws(ApusError) -> [Int32] in
            if let invalid = firstInvalidUTF8(buffer) {
                throw ApusError(
                    .invalidInput, "expected UTF-8, got byte \(buffer[invalid]) at offset \(invalid)")
            }
            return try encodeValid(buffer, addSpecialTokens, cuts: cuts)
        }
    }

    private func encodeValid(
        _ bytes: UnsafeBufferPointer<UInt8>, _ addSpecialTokens: Bool, cuts: Bool = true
    ) throws(ApusError) -> [Int32] {
        var text = SplitText(bytes)
        try added.split(&text, normalized: false)
        if let normalizer {
            try text.rewrite(where: { !normalizer.leavesUnchanged($0) }) { piece throws(ApusError) in
                try normalizer.apply(&piece)
            }
        }
        try added.split(&text, normalized: true)
        try PreTokenizer.apply(preTokenizers, to: &text, keepsBytes: model.options.isByteLevel)
        var ids = runModel(text)
        if cuts { truncation?.apply(&ids, reserving: addSpecialTokens ? postProcessor.addedCount : 0) }
        ids = postProcessor.apply(ids, addsSpecialTokens: addSpecialTokens)
        if cuts { padding?.apply(&ids) }
        return ids
    }

    private func runModel(_ text: SplitText) -> [Int32] {
        var scratch = scratches.withLock { $0.popLast() } ?? MergeScratch()
        var ids: [Int32] = []
        ids.reserveCapacity(text.bytes.count / 3 + 8)
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            for piece in text.pieces {
                if piece.token >= 0 {
                    ids.append(piece.token)
                } else {
                    model.encode(base + piece.start, piece.end - piece.start, &scratch, into: &ids)
                }
            }
        }
        scratches.withLock { if $0.count < Self.keptScratches { $0.append(scratch) } }
        return ids
    }

    /// The text of ids.
    ///
    /// Ids outside the vocabulary are passed over, as `tokenizers` does; see ``decode(strict:skipSpecialTokens:)``.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool = true) throws(ApusError) -> String {
        var stream = makeStreamingDetokenizer(skipSpecialTokens: skipSpecialTokens)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 4)
        for id in ids { try stream.append(id, into: &bytes) }
        try stream.finish(into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text of ids, of which each has to be in the vocabulary.
    ///
    /// - Throws: `.invalidInput` that names the first id outside the vocabulary.
    public func decode(strict ids: [Int32], skipSpecialTokens: Bool = true) throws(ApusError) -> String {
        if let place = ids.firstIndex(where: { added.byID[$0] == nil && !model.tokens.contains($0) }) {
            throw ApusError(
                .invalidInput,
                "token id \(ids[place]) at position \(place): expected an id of the tokenizer's vocabulary, "
                    + "whose highest is \(highestID)")
        }
        return try decode(ids, skipSpecialTokens: skipSpecialTokens)
    }

    /// A detokenizer for ids that come one by one.
    public func makeStreamingDetokenizer(skipSpecialTokens: Bool = true) -> StreamingDetokenizer {
        StreamingDetokenizer(self, skipSpecialTokens: skipSpecialTokens)
    }

    /// The number of tokens, added ones included.
    public var vocabularySize: Int {
        model.tokens.count + added.byID.keys.count { !model.tokens.contains($0) }
    }

    /// The highest id in use, -1 for an empty vocabulary.
    public var highestID: Int32 { max(Int32(model.tokens.idBound) - 1, added.byID.keys.max() ?? -1) }

    /// The id of a token, as it is written in the vocabulary.
    public func id(of token: String) -> Int32? {
        let bytes = Array(token.utf8)
        return added.idByContent[bytes] ?? model.tokens.id(of: bytes)
    }

    /// A token, as it is written in the vocabulary; nil for an id outside it.
    public func token(of id: Int32) -> String? {
        tokenBytes(id, skippingSpecial: false).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether `decode` leaves this id out unless it is told not to.
    public func isSpecial(_ id: Int32) -> Bool { added.skipped.contains(id) }

    func tokenBytes(_ id: Int32, skippingSpecial: Bool) -> [UInt8]? {
        if skippingSpecial, added.skipped.contains(id) { return nil }
        if let token = added.byID[id] { return added.written[id] ?? token.content }
        return model.tokens.withBytes(ofID: id) { Array($0) }
    }
}
