/// How well a model foretells a text, and how far another model departs from it.
public struct Evaluation: Sendable {
    /// Tokens of the text, with those that the tokenizer adds.
    public let tokenCount: Int
    /// Windows that the text was read in.
    public let windowCount: Int
    /// Tokens of each window, fewer in the last.
    public let context: Int
    /// What the model makes of the text.
    public let perplexity: Perplexity
    /// What the model compared with makes of it; nil without one.
    public let other: Perplexity?
    /// How far the other model's predictions are from this one's; nil without one.
    public let divergence: Divergence?
}

/// The mean surprise of a model at the tokens of a text.
public struct Perplexity: Sendable, Hashable {
    /// Tokens that were scored.
    public let scoredTokens: Int
    /// Mean negative logarithm of a token's probability.
    public let natsPerToken: Double
    /// Standard error of ``natsPerToken``, as if the scores of tokens were independent.
    public let standardError: Double
    /// The same information in bits for each byte of text, which does not depend on the tokenizer.
    ///
    /// The bytes of the scored tokens are taken to be their share of the text; nil where the text is not known.
    public let bitsPerByte: Double?

    /// e to the power of ``natsPerToken``.
    public var value: Double { Statistics.exponential(natsPerToken) }
    /// Standard error of ``value``, to first order.
    public var valueError: Double { value * standardError }

    /// Summarises the scores of single tokens.
    init(_ nats: [Double], bytesPerToken: Double?) {
        scoredTokens = nats.count
        let mean = nats.reduce(0, +) / Double(nats.count)
        let squares = nats.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        natsPerToken = mean
        let count = Double(nats.count)
        standardError = count > 1 ? (squares / (count - 1) / count).squareRoot() : 0
        bitsPerByte = bytesPerToken.map { mean / Statistics.naturalLogarithmOf2 / $0 }
    }
}

/// How far the predictions of a second model are from those of a first one, over the same tokens.
public struct Divergence: Sendable, Hashable {
    /// Nats per token of the second model less those of the first.
    public let natsDifference: Double
    /// Standard error of ``natsDifference``, from the differences of single tokens, whose own surprise cancels.
    public let natsDifferenceError: Double
    /// Mean Kullback–Leibler divergence Σ p·ln(p/q) of next-token distributions, p the first model's, in nats.
    public let mean: Double
    /// Its median over the tokens.
    public let median: Double
    /// Its 99th percentile.
    public let percentile99: Double
    /// Its largest value.
    public let maximum: Double
    /// The share of tokens for which both models find the same one likeliest.
    public let sameTopShare: Double

    /// Summarises the scores of single tokens.
    init(_ scores: [TokenScore]) {
        let count = Double(scores.count)
        let differences = scores.map { $0.otherNats - $0.nats }
        let difference = differences.reduce(0, +) / count
        let squares = differences.reduce(0) { $0 + ($1 - difference) * ($1 - difference) }
        natsDifference = difference
        natsDifferenceError = count > 1 ? (squares / (count - 1) / count).squareRoot() : 0
        let sorted = scores.map(\.divergence).sorted()
        mean = sorted.reduce(0, +) / count
        median = Statistics.quantile(0.5, of: sorted)
        percentile99 = Statistics.quantile(0.99, of: sorted)
        maximum = sorted.last ?? 0
        sameTopShare = Double(scores.count { $0.isSameTop }) / count
    }
}
