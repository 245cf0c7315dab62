/// Why a sequence ended.
public enum FinishReason: String, Sendable, Hashable, CustomStringConvertible {
    /// The model gave an end token.
    case endToken
    /// The text came to a stop string.
    case stopString
    /// The sequence has as many tokens as were asked for.
    case length

    /// The reason as OpenAI's API names it: `stop` or `length`.
    public var description: String { self == .length ? "length" : "stop" }
}

/// Counts and times of one sequence.
public struct GenerationStats: Sendable, Hashable {
    /// Tokens of the prompt.
    public var promptTokens: Int
    /// Tokens generated, an end token included.
    public var generatedTokens: Int
    /// Seconds from the request to the first token.
    public var timeToFirstToken: Double
    /// Seconds from the first token to the last.
    public var decodeSeconds: Double

    /// Describes a sequence.
    public init(promptTokens: Int, generatedTokens: Int, timeToFirstToken: Double, decodeSeconds: Double) {
        self.promptTokens = promptTokens
        self.generatedTokens = generatedTokens
        self.timeToFirstToken = timeToFirstToken
        self.decodeSeconds = decodeSeconds
    }

    /// Seconds of each token after the first; nil for a single token.
    public var timePerOutputToken: Double? {
        generatedTokens > 1 ? decodeSeconds / Double(generatedTokens - 1) : nil
    }

    /// Tokens after the first a second; nil for a single token.
    public var decodeTokensPerSecond: Double? {
        generatedTokens > 1 && decodeSeconds > 0 ? Double(generatedTokens - 1) / decodeSeconds : nil
    }

    /// Tokens of the prompt a second.
    public var prefillTokensPerSecond: Double? {
        timeToFirstToken > 0 ? Double(promptTokens) / timeToFirstToken : nil
    }
}

/// What a sequence came to.
public struct GenerationResult: Sendable, Hashable {
    /// The tokens generated; an end token is among them.
    public var tokens: [Int32]
    /// The text of the tokens without a stop string and what follows it; nil without a text stream.
    public var text: String?
    /// Why the sequence ended.
    public var finishReason: FinishReason
    /// Counts and times.
    public var stats: GenerationStats

    /// Describes a sequence that ended.
    public init(tokens: [Int32], text: String?, finishReason: FinishReason, stats: GenerationStats) {
        self.tokens = tokens
        self.text = text
        self.finishReason = finishReason
        self.stats = stats
    }
}
