public import ApusGraph
public import ApusSupport

/// How long to generate, and what ends it.
public struct GenerationOptions: Sendable, Hashable {
    /// Tokens a sequence gets at most.
    public var maxNewTokens: Int
    /// How each token is chosen.
    public var sampling: SamplingOptions
    /// Any of these ends a sequence; nil takes those of the model.
    public var endTokens: [Int32]?
    /// Whether sequences go on after an end token.
    public var ignoreEnd: Bool
    /// Any of these in the text ends a sequence; the text stops before it.
    public var stopStrings: [String]
    /// Whether callbacks are given the logits also where a device chooses tokens by itself, which is slower then.
    public var readsLogits: Bool

    /// Makes options; without arguments they take the likeliest of up to 128 tokens.
    public init(
        maxNewTokens: Int = 128, sampling: SamplingOptions = .greedy, endTokens: [Int32]? = nil,
        ignoreEnd: Bool = false, stopStrings: [String] = [], readsLogits: Bool = false
    ) {
        self.maxNewTokens = maxNewTokens
        self.sampling = sampling
        self.endTokens = endTokens
        self.ignoreEnd = ignoreEnd
        self.stopStrings = stopStrings
        self.readsLogits = readsLogits
    }

    /// Checks the options and the prompts against a model, before anything runs.
    /// - Throws: `.invalidInput` that names the prompt or option.
    public func validate(_ prompts: [[Int32]], for model: ModelInfo) throws(ApusError) {
        try sampling.validate(vocabularySize: model.vocabularySize)
        guard maxNewTokens >= 1 else {
            throw ApusError(.invalidInput, "maxNewTokens: expected at least 1, got \(maxNewTokens)")
        }
        guard !stopStrings.contains("") else {
            throw ApusError(
                .invalidInput, "stopStrings: expected texts of at least one character, got an empty one")
        }
        guard !prompts.isEmpty else {
            throw ApusError(.invalidInput, "expected at least one prompt, got none")
        }
        for (index, prompt) in prompts.enumerated() { try validate(prompt, index, model) }
    }

    private func validate(_ prompt: [Int32], _ index: Int, _ model: ModelInfo) throws(ApusError) {
        guard !prompt.isEmpty else {
            throw ApusError(.invalidInput, "prompt \(index) is empty: expected at least one token")
        }
        for id in prompt where id < 0 || Int(id) >= model.vocabularySize {
            throw ApusError(
                .invalidInput,
                "prompt \(index): token id \(id) is outside the vocabulary of \(model.vocabularySize) tokens; "
                    + "check that the prompt was made by this model's tokenizer")
        }
        let (needed, overflow) = prompt.count.addingReportingOverflow(maxNewTokens)
        guard !overflow, needed <= model.maxPositions else {
            let room = model.maxPositions - prompt.count
            throw ApusError(
                .invalidInput,
                "prompt \(index): \(prompt.count) prompt tokens and \(maxNewTokens) new tokens exceed the model's "
                    + "\(model.maxPositions) positions; "
                    + (room > 0
                        ? "ask for at most \(room) new tokens or shorten the prompt" : "shorten the prompt"))
        }
    }
}
