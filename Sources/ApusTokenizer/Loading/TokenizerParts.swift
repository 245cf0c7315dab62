internal import ApusSupport

/// A `tokenizer.json` taken apart.
///
/// Source: tokenizers, src/tokenizer/serialization.rs.
struct TokenizerParts {
    let added: AddedTokens
    let normalizer: Normalizer?
    let preTokenizers: [PreTokenizer]
    let model: BPEModel
    let postProcessor: PostProcessor
    let decoders: [Decoder]
    let truncation: Truncation?
    let padding: Padding?

    init(_ json: JSON) throws(ApusError) {
        let root = try ConfigKey(json).object()
        if let version = root.optional("version"), try version.string() != "1.0" {
            throw version.failure(.unsupported, "expected \"1.0\", got \"\(try version.string())\"")
        }
        if let key = root.optional("normalizer") {
            normalizer = try Normalizer(key)
        } else {
            normalizer = nil
        }
        if let key = root.optional("pre_tokenizer") {
            preTokenizers = try PreTokenizer(key).flattened
        } else {
            preTokenizers = []
        }
        var endsInBytes = false
        if case .byteLevel = preTokenizers.last { endsInBytes = true }
        model = try BPEModel(try root.required("model"), followsByteLevel: endsInBytes)
        if let key = root.optional("post_processor") {
            postProcessor = try PostProcessor(key)
        } else {
            postProcessor = PostProcessor()
        }
        if let key = root.optional("decoder") { decoders = try Decoder.list(key) } else { decoders = [.join] }
        if let key = root.optional("truncation") {
            truncation = try Truncation(key, added: postProcessor.addedCount)
        } else {
            truncation = nil
        }
        if let key = root.optional("padding") { padding = try Padding(key) } else { padding = nil }
        var tokens: [AddedToken] = []
        if let list = root.optional("added_tokens") {
            for key in try list.elements() { tokens.append(try AddedToken(key)) }
        }
        added = try AddedTokens(tokens, model: model.tokens, normalizer: normalizer)
    }
}

extension AddedToken {
    init(_ key: ConfigKey) throws(ApusError) {
        _ = try key.required("id").id()
        content = try key.required("content").bytes()
        isSingleWord = try key.required("single_word").bool()
        stripsLeft = try key.required("lstrip").bool()
        stripsRight = try key.required("rstrip").bool()
        isNormalized = try key.required("normalized").bool()
        isSpecial = try key.required("special").bool()
    }
}

extension PostProcessor {
    init(_ key: ConfigKey) throws(ApusError) {
        let type = try key.required("type")
        switch try type.string() {
        case "ByteLevel": self.init()
        case "BertProcessing", "RobertaProcessing":
            func pair(_ name: String) throws(ApusError) -> Int32 {
                let parts = try key.required(name).elements()
                guard parts.count == 2 else {
                    throw try key.required(name).failure(
                        .invalidInput, "expected [token, id], got \(parts.count) values")
                }
                return try parts[1].id()
            }
            self.init([.ids([try pair("cls")]), .text, .ids([try pair("sep")])])
        case "TemplateProcessing": self.init(try Self.template(key))
        case "Sequence":
            var result = PostProcessor()
            for inner in try key.required("processors").elements() {
                result = try PostProcessor(inner).wrapping(result)
            }
            self = result
        case let name: throw type.failure(.unsupported, "post-processor \"\(name)\" is not supported")
        }
    }

    private static func template(_ key: ConfigKey) throws(ApusError) -> [Part] {
        let special = try key.required("special_tokens").object()
        var parts: [Part] = []
        for piece in try key.required("single").elements() {
            if let token = piece.optional("SpecialToken") {
                let name = try token.required("id").string()
                guard let entry = special.optional(name) else {
                    throw token.failure(.invalidInput, "\"\(name)\" is not in special_tokens")
                }
                var ids: [Int32] = []
                for id in try entry.required("ids").elements() { ids.append(try id.id()) }
                parts.append(.ids(ids))
            } else {
                let name = try piece.required("Sequence").required("id")
                guard try name.string() == "A" else {
                    throw name.failure(.invalidInput, "expected \"A\" in the template for one text")
                }
                parts.append(.text)
            }
        }
        return parts
    }
}

extension Truncation {
    private enum Direction: String, CaseIterable { case left = "Left", right = "Right" }
    private enum Strategy: String, CaseIterable {
        case longestFirst = "LongestFirst", onlyFirst = "OnlyFirst", onlySecond = "OnlySecond"
    }

    init(_ key: ConfigKey, added: Int) throws(ApusError) {
        let length = try key.required("max_length")
        maximum = try length.int()
        guard try key.required("strategy").choice(Strategy.self) != .onlySecond else {
            throw key.failure(
                .unsupported, "strategy \"OnlySecond\" needs a second text, which is never given")
        }
        guard maximum >= added + (try key.required("stride").int()) else {
            throw length.failure(
                .invalidInput, "expected at least stride + \(added) special tokens, got \(maximum)")
        }
        cutsLeft = try key.optional("direction")?.choice(Direction.self) == .left
    }
}

extension Padding {
    private enum Direction: String, CaseIterable { case left = "Left", right = "Right" }

    /// A text is never padded beyond this many ids: a length this large can only be a mistake.
    private static let maximumLength = 1 << 24

    init(_ key: ConfigKey) throws(ApusError) {
        let strategy = try key.required("strategy")
        if let fixed = strategy.optional("Fixed") {
            length = try fixed.int(0...Self.maximumLength)
        } else {
            guard try strategy.string() == "BatchLongest" else {
                throw strategy.failure(.invalidInput, "expected \"BatchLongest\" or {\"Fixed\": length}")
            }
            length = 0
        }
        multiple = try key.optional("pad_to_multiple_of")?.int(0...Self.maximumLength) ?? 0
        id = try key.required("pad_id").id()
        isLeft = try key.required("direction").choice(Direction.self) == .left
    }
}
