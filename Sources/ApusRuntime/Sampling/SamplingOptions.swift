public import ApusSupport

/// How a token is chosen from the logits.
///
/// The steps run in this order: repetition penalty, presence and frequency penalty, logit bias, temperature, top-k,
/// top-p, min-p, draw.
public struct SamplingOptions: Sendable, Hashable {
    /// Logits are divided by this; 0 takes the token of the largest logit, the first of them if several tie.
    public var temperature: Float
    /// Only the tokens whose logit is not below the k-th largest stay; 0 keeps all.
    public var topK: Int
    /// Only the smallest set of most likely tokens whose probabilities reach this sum stays; 1 keeps all.
    public var topP: Float
    /// Only tokens at least this fraction as likely as the likeliest stay; 0 keeps all.
    public var minP: Float
    /// The logit of every token in prompt or output is divided by this if positive, else multiplied; 1 is off.
    ///
    /// Source: Keskar et al., CTRL, arXiv 1909.05858; `RepetitionPenaltyLogitsProcessor` in transformers.
    public var repetitionPenalty: Float
    /// Subtracted once from the logit of every token generated before.
    public var presencePenalty: Float
    /// Subtracted from the logit of a token as often as it was generated before.
    public var frequencyPenalty: Float
    /// Added to the logits of single tokens; −infinity forbids one.
    public var logitBias: [Int32: Float]
    /// Start of the random numbers; nil draws one from the system.
    public var seed: UInt64?

    /// Makes options; without arguments they draw from the model's own distribution.
    public init(
        temperature: Float = 1, topK: Int = 0, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
        presencePenalty: Float = 0, frequencyPenalty: Float = 0, logitBias: [Int32: Float] = [:],
        seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.logitBias = logitBias
        self.seed = seed
    }

    /// Takes the likeliest token each time.
    public static let greedy = SamplingOptions(temperature: 0)

    /// Whether the likeliest token is taken, without a draw.
    public var isGreedy: Bool { temperature == 0 }

    /// Whether tokens seen before change the logits.
    var hasPenalties: Bool { repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0 }

    /// Checks every option.
    /// - Throws: `.invalidInput` that names the option.
    public func validate(vocabularySize: Int) throws(ApusError) {
        try Self.expect(
            temperature >= 0 && temperature.isFinite, "temperature", "a number of at least 0", temperature)
        try Self.expect(topK >= 0, "topK", "a number of tokens, or 0 for all", topK)
        try Self.expect((0...1).contains(topP), "topP", "a probability from 0 to 1", topP)
        try Self.expect((0...1).contains(minP), "minP", "a fraction from 0 to 1", minP)
        try Self.expect(
            repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetitionPenalty", "a number above 0",
            repetitionPenalty)
        try Self.expect(presencePenalty.isFinite, "presencePenalty", "a finite number", presencePenalty)
        try Self.expect(frequencyPenalty.isFinite, "frequencyPenalty", "a finite number", frequencyPenalty)
        for (id, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
            try Self.expect(
                id >= 0 && Int(id) < vocabularySize, "logitBias", "token ids below \(vocabularySize)", id)
            try Self.expect(
                bias.isFinite || bias == -.infinity, "logitBias", "finite numbers or −infinity", bias)
        }
    }

    private static func expect(
        _ isMet: Bool, _ option: String, _ expected: String, _ got: some CustomStringConvertible
    ) throws(ApusError) {
        guard isMet else {
            throw ApusError(.invalidInput, "\(option): expected \(expected), got \(got)")
        }
    }
}
