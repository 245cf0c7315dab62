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
}
