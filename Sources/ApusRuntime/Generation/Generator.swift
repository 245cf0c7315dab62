public import ApusEngine
public import ApusGraph
public import ApusSupport

/// Runs batches of prompts to their ends on one executor.
///
/// Cost: a token after the second of a sequence allocates nothing, apart from its text. Not thread safe.
public final class Generator {
    /// The batch of the last call; its cache stays until the next.
    public let session: Session
    private let model: ModelInfo
    private let scratch: SamplerScratch

    /// Makes a generator for a model that an executor runs.
    public init(executor: any Executor, model: ModelInfo) {
        session = Session(executor)
        self.model = model
        scratch = SamplerScratch(vocabularySize: executor.vocabularySize)
    }

    /// Generates until every sequence has ended.
    /// - Parameters:
    ///   - prompts: Token ids of each sequence; the executor's batch at most.
    ///   - options: How to choose tokens and when to stop.
    ///   - textStreams: One for each prompt, or none; stop strings need them.
    ///   - onToken: Called for each token when it is chosen, sequences in turn. What it throws ends the call.
    /// - Returns: One result for each prompt, in their order.
    /// - Throws: `.invalidInput` for prompts or options the model cannot serve.
    public func generate(
        _ prompts: [[Int32]], options: GenerationOptions, textStreams: [any TextStream] = [],
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        let start = ContinuousClock.now
        try check(prompts, options, textStreams)
        let endTokens = options.ignoreEnd ? [] : Set(options.endTokens ?? model.endTokens)
        var runs: [SequenceRun] = []
        for (index, prompt) in prompts.enumerated() {
            runs.append(
                try SequenceRun(
                    prompt: prompt, index: index, options: options, scratch: scratch,
                    textStream: textStreams.isEmpty ? nil : textStreams[index]))
        }

        try session.begin(prompts)
        var living = runs.count
        while true {
            for sequence in runs.indices where runs[sequence].finishReason == nil {
                let logits = session.logits(of: sequence)
                let (id, text) = try runs[sequence].advance(logits, endTokens: endTokens)
                let reason = runs[sequence].finishReason
                try onToken(
                    GeneratedToken(
                        sequence: sequence, index: runs[sequence].count - 1, id: id, text: text,
                        logits: logits,
                        finishReason: reason))
                if reason == nil {
                    session.append(id, to: sequence)
                } else {
                    session.retire(sequence)
                    living -= 1
                }
            }
            guard living > 0 else { break }
            if !options.readsLogits, try runLoop(&runs, endTokens, onToken) { break }
            try session.step()
        }
        return runs.map { $0.result(start: start) }
    }

    /// Has the device go on by itself until all sequences have ended; false if it cannot.
    private func runLoop(
        _ runs: inout [SequenceRun], _ endTokens: Set<Int32>,
        _ onToken: (GeneratedToken) throws(ApusError) -> Void
    ) throws(ApusError) -> Bool {
        let living = runs.indices.filter { runs[$0].finishReason == nil }
        var choices: [TokenChoice?] = Array(repeating: nil, count: runs.count)
        for sequence in living { choices[sequence] = runs[sequence].choice }
        guard living.allSatisfy({ choices[$0] != nil }) else { return false }
        var remaining = living.count
        return try session.runLoop(
            choices: choices.map { $0 ?? .greedy }, endTokens: endTokens.sorted(),
            stepCounts: runs.map { max($0.remaining, 1) }
        ) { sequence, id throws(ApusError) in
            let text = try runs[sequence].take(id, endTokens: endTokens)
            let reason = runs[sequence].finishReason
            try onToken(
                GeneratedToken(
                    sequence: sequence, index: runs[sequence].count - 1, id: id, text: text,
                    logits: UnsafeBufferPointer(start: nil, count: 0), finishReason: reason))
            if reason != nil { remaining -= 1 }
            return (reason == nil, remaining > 0)
        }
    }

    private func check(
        _ prompts: [[Int32]], _ options: GenerationOptions, _ textStreams: [any TextStream]
    ) throws(ApusError) {
        try options.validate(prompts, for: model)
        guard textStreams.isEmpty || textStreams.count == prompts.count else {
            throw ApusError(
                .invalidInput,
                "textStreams: expected one for each of \(prompts.count) prompts, got \(textStreams.count)")
        }
        guard options.stopStrings.isEmpty || !textStreams.isEmpty else {
            throw ApusError(.invalidInput, "stopStrings: expected a tokenizer that gives the text, got none")
        }
        let limits = session.limits
        // The last token of a sequence is never run.
        for (index, prompt) in prompts.enumerated()
        where prompt.count + options.maxNewTokens - 1 > limits.capacity {
            throw ApusError(
                .invalidInput,
                "prompt \(index): \(prompt.count) prompt tokens and \(options.maxNewTokens) new tokens exceed the "
                    + "context of \(limits.capacity) tokens; choose a larger context or fewer new tokens")
        }
    }
}
