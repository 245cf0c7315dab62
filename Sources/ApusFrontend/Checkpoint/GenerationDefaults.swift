import ApusSupport

/// How a checkpoint wants to be sampled when the user does not say: `generation_config.json`, or in its absence
/// what `config.json` holds of it.
public struct GenerationDefaults: Sendable, Hashable {
    /// Any of these ends a generation.
    public var endTokens: [Int32] = []
    /// Token that starts a text.
    public var beginToken: Int32?
    /// Token that fills up a batch.
    public var padToken: Int32?
    /// Whether to sample instead of taking the likeliest token.
    public var doSample = false
    /// What logits are divided by before sampling.
    public var temperature: Double?
    /// How many of the likeliest tokens stay.
    public var topK: Int?
    /// The probability that the tokens that stay add up to.
    public var topP: Double?
    /// The probability, as a share of the likeliest token's, below which tokens are dropped.
    public var minP: Double?
    /// What logits of tokens that occurred are divided (above 0) or multiplied (below 0) by.
    public var repetitionPenalty: Double?

    /// Defaults that say nothing.
    public init() {}

    /// Merges the two files.
    ///
    /// Defaults of transformers' config classes do not count: its `from_pretrained` passes over them too.
    static func read(
        config: ConfigReader, generation: ConfigReader?
    ) throws(ApusError) -> GenerationDefaults {
        var defaults = GenerationDefaults()
        // A key of generation_config.json, be it null, overrides config.json.
        func tokens(_ key: String) throws(ApusError) -> [Int32]? {
            if let found = try generation?.tokens(key) { return found }
            return try config.tokens(key)
        }
        defaults.endTokens = try tokens("eos_token_id") ?? []
        defaults.beginToken = (try tokens("bos_token_id"))?.first
        defaults.padToken = (try tokens("pad_token_id"))?.first
        // As in transformers, sampling keys of config.json count only if there is no other file.
        let source = generation ?? config
        defaults.doSample = try source.bool("do_sample", default: false)
        defaults.temperature = try source.optionalDouble("temperature")
        defaults.topK = try source.optionalInt("top_k", in: 0...1 << 31)
        defaults.topP = try source.optionalDouble("top_p")
        defaults.minP = try source.optionalDouble("min_p")
        defaults.repetitionPenalty = try source.optionalDouble("repetition_penalty")
        return defaults
    }
}
