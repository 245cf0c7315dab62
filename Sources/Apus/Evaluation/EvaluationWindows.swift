import ApusSupport

/// The part of a text that a model reads at once, and what of it is scored.
struct EvaluationWindow: Sendable, Hashable {
    /// The tokens that are read.
    let tokens: Range<Int>
    /// The tokens whose probability counts, each given all tokens of the window before it.
    let scored: Range<Int>
}

/// How a text is cut into windows.
///
/// A window has `context` tokens, and each begins `stride` tokens after the one before. Only tokens that no earlier
/// window has scored are scored. With a stride of the context, windows do not overlap, and the first token of each
/// is not scored, for nothing precedes it; with a smaller one, every token but the text's first is scored once, given
/// at least `context − stride` tokens before it. A smaller stride costs more time and gives a lower perplexity.
public struct EvaluationOptions: Sendable, Hashable {
    /// Tokens of a window; nil is 2048, or the model's positions if it has fewer.
    public var context: Int?
    /// Tokens from the start of one window to the next; nil is the context.
    public var stride: Int?

    /// Makes options.
    public init(context: Int? = nil, stride: Int? = nil) {
        self.context = context
        self.stride = stride
    }

    /// The windows over `count` tokens, for a model with so many positions.
    /// - Throws: `.invalidInput` for options that do not fit each other or the model.
    func windows(_ count: Int, positions: Int) throws(ApusError) -> [EvaluationWindow] {
        let context = context ?? min(2048, positions)
        guard (2...max(positions, 2)).contains(context) else {
            throw ApusError(
                .invalidInput,
                "context: expected 2…\(positions) tokens, as many as the model has positions, got \(context)")
        }
        let stride = stride ?? context
        guard (1...context).contains(stride) else {
            throw ApusError(
                .invalidInput,
                "stride: expected 1…\(context) tokens, no more than the context, got \(stride); a larger one would leave "
                    + "tokens out")
        }
        var windows: [EvaluationWindow] = []
        var start = 0
        var done = 0
        while done < count {
            let end = min(start + context, count)
            let first = max(done, start + 1)
            if first < end { windows.append(EvaluationWindow(tokens: start..<end, scored: first..<end)) }
            done = end
            start += stride
        }
        return windows
    }
}
