public import ApusEngine
public import ApusSupport
import ApusTokenizer
import Dispatch

extension LanguageModel {
    /// Measures how well the model foretells a text.
    ///
    ///     let model = try LanguageModel(folder: "Models/demo", options: LoadOptions(allLogits: true))
    ///     let result = try model.evaluate(utf8: WholeFile.bytes(path: "text.txt"))
    ///     print(result.perplexity.value)
    /// - Parameters:
    ///   - text: The text as UTF-8; it is encoded as a whole, with the tokens that the tokenizer adds to a text.
    ///   - other: A model to compare with; it is given the same tokens.
    ///   - options: How the text is cut into windows.
    ///   - progress: Told how many tokens are scored.
    /// - Throws: `.notFound` without a tokenizer, `.invalidInput` for a text of less than two tokens; `.mismatch` if the
    ///   two models' tokens differ; else as ``evaluate(_:comparedWith:byteCount:options:progress:)``.
    public func evaluate(
        utf8 text: [UInt8], comparedWith other: LanguageModel? = nil,
        options: EvaluationOptions = EvaluationOptions(), progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Evaluation {
        let tokens = try encodeWhole(text)
        if let other, other.tokenizer != nil {
            let others = try other.encodeWhole(text)
            guard tokens == others else {
                let place = zip(tokens, others).enumerated().first { $1.0 != $1.1 }?.offset
                throw ApusError(
                    .mismatch,
                    "the models' tokenizers differ: the text has \(tokens.count) and \(others.count) tokens, which part at "
                        + "token \(place ?? min(tokens.count, others.count)); models are compared over the same tokens"
                )
            }
        }
        return try evaluate(
            tokens, comparedWith: other, byteCount: text.count, options: options, progress: progress)
    }

    private func encodeWhole(_ text: [UInt8]) throws(ApusError) -> [Int32] {
        guard let tokenizer else {
            throw ApusError(
                .notFound,
                "an evaluation needs a tokenizer, and the model's folder has no tokenizer.json; name a folder with one"
            )
        }
        return try tokenizer.encode(utf8: text, cuts: false)
    }

    /// Measures how well the model foretells tokens, and how far another one departs from it.
    ///
    /// Memory: logits of some 128 MiB for each model, beside what a generation of ``EvaluationOptions/context`` tokens
    /// needs.
    /// - Parameters:
    ///   - tokens: Token ids, two at least.
    ///   - other: A model to compare with; both must give logits of all tokens (``LoadOptions/allLogits``).
    ///   - byteCount: Bytes of the text that the tokens are of, for ``Perplexity/bitsPerByte``.
    ///   - options: How the tokens are cut into windows.
    ///   - progress: Told how many tokens are scored.
    /// - Throws: `.invalidInput` for too few tokens, ids outside the vocabulary, options that do not fit, or logits that
    ///   are not finite; `.mismatch` if the vocabularies differ; `.unsupported` for a model without the logits.
    public func evaluate(
        _ tokens: [Int32], comparedWith other: LanguageModel? = nil, byteCount: Int? = nil,
        options: EvaluationOptions = EvaluationOptions(), progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Evaluation {
        guard tokens.count >= 2 else {
            throw ApusError(
                .invalidInput,
                "expected a text of at least 2 tokens, got \(tokens.count): the first is never scored")
        }
        if let id = tokens.first(where: { $0 < 0 || Int($0) >= info.vocabularySize }) {
            throw ApusError(
                .invalidInput, "token id \(id) is outside the vocabulary of \(info.vocabularySize) tokens")
        }
        if let other, other.info.vocabularySize != info.vocabularySize {
            throw ApusError(
                .mismatch,
                "the models' vocabularies differ: \(info.vocabularySize) and \(other.info.vocabularySize) tokens; only "
                    + "distributions over the same tokens can be compared")
        }
        let positions = min(info.maxPositions, other?.info.maxPositions ?? .max)
        let windows = try options.windows(tokens.count, positions: positions)
        let context = windows.reduce(0) { max($0, $1.tokens.count) }
        let first = try EvaluationPass(self, context: context)
        let second = try other.map { other throws(ApusError) in
            try EvaluationPass(other, context: context)
        }
        let total = windows.reduce(0) { $0 + $1.scored.count }
        var scores: [TokenScore] = []
        scores.reserveCapacity(total)
        for window in windows {
            for rows in first.chunks(window) {
                let input = Array(tokens[rows])
                let logits = try first.logits(input, from: rows.lowerBound - window.tokens.lowerBound)
                let others = try second.map { pass throws(ApusError) in
                    try pass.logits(input, from: rows.lowerBound - window.tokens.lowerBound)
                }
                let scored = max(rows.lowerBound + 1, window.scored.lowerBound)..<rows.upperBound + 1
                let new = score(tokens, scored, rows, logits, others)
                if let place = new.firstIndex(where: { !$0.nats.isFinite || $0.divergence.isNaN }) {
                    throw ApusError(
                        .invalidInput,
                        "the logits before token \(scored.lowerBound + place) are not finite numbers; the weights are "
                            + "damaged, or the precision is too narrow for them")
                }
                scores += new
                progress?.progress("Evaluating", completed: scores.count, total: total)
            }
        }
        let bytesPerToken = byteCount.map { Double($0) / Double(tokens.count) }
        return Evaluation(
            tokenCount: tokens.count, windowCount: windows.count, context: context,
            perplexity: Perplexity(scores.map(\.nats), bytesPerToken: bytesPerToken),
            other: other.map { _ in Perplexity(scores.map(\.otherNats), bytesPerToken: bytesPerToken) },
            divergence: other.map { _ in Divergence(scores) })
    }

    /// Scores tokens by the logits of the tokens before them, rows in parallel.
    private func score(
        _ tokens: [Int32], _ scored: Range<Int>, _ rows: Range<Int>, _ logits: UnsafeBufferPointer<Float>,
        _ others: UnsafeBufferPointer<Float>?
    ) -> [TokenScore] {
        guard !scored.isEmpty, let base = logits.baseAddress else { return [] }
        let count = info.vocabularySize
        nonisolated(unsafe) let (first, second) = (base, others?.baseAddress)
        return [TokenScore](unsafeUninitializedCapacity: scored.count) { buffer, initialized in
            nonisolated(unsafe) let results = buffer
            let workers = threadCount
            DispatchQueue.concurrentPerform(iterations: workers) { worker in
                for index in stride(from: worker, to: scored.count, by: workers) {
                    let token = scored.lowerBound + index
                    let row = (token - 1 - rows.lowerBound) * count
                    let score =
                        if let second {
                            TokenScore(first + row, second + row, count: count, target: tokens[token])
                        } else {
                            TokenScore(first + row, count: count, target: tokens[token])
                        }
                    results.initializeElement(at: index, to: score)
                }
            }
            initialized = scored.count
        }
    }
}

/// One model's executor for windows of a text.
private struct EvaluationPass {
    private let executor: any Executor
    private let chunk: Int

    /// Bytes that the logits of one pass may take.
    private static let logitBytes = 128 << 20

    init(_ model: LanguageModel, context: Int) throws(ApusError) {
        guard let engine = model.engine, engine.plan.hasAllLogits else {
            throw ApusError(
                .unsupported,
                "an evaluation needs the logits of all tokens: load the model's folder with allLogits, on a backend other "
                    + "than reference; an engine of 'apus compile' has those of the last token only")
        }
        guard engine.cacheMode != .recompute else {
            throw ApusError(
                .unsupported,
                "an evaluation runs its windows in pieces, which needs a KV cache: choose cache static_v1 or static_v2, or "
                    + "the plugin backend")
        }
        let rowBytes = max(model.info.vocabularySize, 1) * 4
        chunk = min(max(Self.logitBytes / rowBytes, 1), model.promptChunk, context)
        executor = try model.makeExecutor(SessionLimits(batch: 1, chunk: chunk, capacity: context))
    }

    /// The parts of a window that run one after the other; its last token foretells nothing that is scored.
    func chunks(_ window: EvaluationWindow) -> [Range<Int>] {
        let end = window.tokens.upperBound - 1
        return stride(from: window.tokens.lowerBound, to: end, by: chunk).map { $0..<min($0 + chunk, end) }
    }

    /// The logits [count, V] of tokens that follow `cached` others; valid until the next call.
    func logits(_ tokens: [Int32], from cached: Int) throws(ApusError) -> UnsafeBufferPointer<Float> {
        let (width, start) = (Int32(tokens.count), Int32(cached))
        _ = try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try withUnsafePointer(to: width) { width throws(ApusError) in
                try withUnsafePointer(to: start) { start throws(ApusError) in
                    try executor.forward(
                        tokens: tokens, batch: 1, width: tokens.count,
                        newCounts: UnsafeBufferPointer(start: width, count: 1),
                        cachedCounts: UnsafeBufferPointer(start: start, count: 1))
                }
            }
        }
        guard let logits = executor.tokenLogits else {
            throw ApusError(.internal, "the executor gave no logits of all tokens")
        }
        return logits
    }
}
