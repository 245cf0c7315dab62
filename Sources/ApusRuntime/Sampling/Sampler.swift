import ApusEngine
public import ApusSupport

/// Memory that the samplers of one batch share, since they run one after another.
public final class SamplerScratch {
    let candidates: Candidates
    let vocabularySize: Int

    /// Allocates for a vocabulary.
    public init(vocabularySize: Int) {
        self.vocabularySize = vocabularySize
        candidates = Candidates(vocabularySize: vocabularySize)
    }
}

/// Chooses the tokens of one sequence.
///
/// Cost: choosing allocates nothing.
public final class Sampler {
    private let options: SamplingOptions
    private let scratch: SamplerScratch
    private let bias: [(id: Int, value: Float)]
    private var random: SeededGenerator
    private var history: TokenHistory?

    /// Makes a sampler for a sequence that starts with `prompt`.
    /// - Parameters:
    ///   - prompt: Ids below the scratch's vocabulary size.
    ///   - newTokens: Tokens that will be accepted at most.
    ///   - stream: Number of the sequence; sequences of one seed draw independently.
    /// - Throws: `.invalidInput` that names a wrong option.
    public init(
        _ options: SamplingOptions, scratch: SamplerScratch, prompt: [Int32], newTokens: Int, stream: Int = 0
    ) throws(ApusError) {
        try options.validate(vocabularySize: scratch.vocabularySize)
        self.options = options
        self.scratch = scratch
        bias = options.logitBias.map { (Int($0.key), $0.value) }
        random = SeededGenerator(seed: options.seed ?? UInt64.random(in: .min ... .max), stream: stream)
        if options.hasPenalties {
            history = TokenHistory(
                vocabularySize: scratch.vocabularySize, prompt: prompt, newTokens: newTokens)
        }
    }

    /// Chooses a token from the logits [V], which stay as they are.
    /// - Throws: `.mismatch` for another number of logits, `.invalidInput` if they cannot be compared.
    public func choose(_ logits: UnsafeBufferPointer<Float>) throws(ApusError) -> Int32 {
        guard logits.count == scratch.vocabularySize else {
            throw ApusError(.mismatch, "expected \(scratch.vocabularySize) logits, got \(logits.count)")
        }
        let adjusted = adjust(logits)
        guard let maximum = Maximum(adjusted) else {
            throw ApusError(
                .invalidInput,
                "the logits hold no largest number: a NaN or an infinity among them, or every token is forbidden; "
                    + "check the weights and logitBias, or choose a precision with more range")
        }
        if options.isGreedy { return Int32(truncatingIfNeeded: maximum.index) }
        let candidates = scratch.candidates
        candidates.gather(
            adjusted, largest: maximum.value, temperature: options.temperature, topK: options.topK)
        if options.topP < 1 { candidates.keep(reaching: options.topP) }
        // The likeliest token weighs exactly 1.
        if options.minP > 0 { candidates.keep(atLeast: options.minP) }
        return candidates.draw(random.nextUniform())
    }

    /// Tells which token the sequence goes on with.
    public func accept(_ token: Int32) {
        history?.append(token)
    }

    /// The choice of up to so many tokens, as a device makes it, with the numbers that ``choose(_:)`` would draw; nil if
    /// penalties or a bias change the logits.
    func choice(steps: Int) -> TokenChoice? {
        guard history == nil, bias.isEmpty else { return nil }
        guard !options.isGreedy else { return .greedy }
        var random = random
        return TokenChoice(
            temperature: options.temperature, topK: options.topK, topP: options.topP, minP: options.minP,
            uniforms: (0..<steps).map { _ in random.nextUniform() })
    }

    private func adjust(_ logits: UnsafeBufferPointer<Float>) -> UnsafeBufferPointer<Float> {
        guard history != nil || !bias.isEmpty else { return logits }
        let copy = UnsafeMutableBufferPointer(rebasing: scratch.candidates.logits[..<logits.count])
        _ = copy.update(from: logits)
        history?.penalise(copy, options)
        for place in bias.indices { copy[bias[place].id] += bias[place].value }
        return UnsafeBufferPointer(copy)
    }
}
