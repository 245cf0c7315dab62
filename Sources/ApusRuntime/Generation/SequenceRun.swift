import ApusEngine
import ApusSupport

/// One sequence on its way through a generation.
struct SequenceRun {
    private let sampler: Sampler
    private let textStream: (any TextStream)?
    private let maxNewTokens: Int
    private let promptTokens: Int
    private var matcher: StopStringMatcher
    private var tokens: [Int32] = []
    private var text = ""
    private var firstToken: ContinuousClock.Instant?
    private var lastToken: ContinuousClock.Instant?
    private(set) var finishReason: FinishReason?

    init(
        prompt: [Int32], index: Int, options: GenerationOptions, scratch: SamplerScratch,
        textStream: (any TextStream)?
    ) throws(ApusError) {
        sampler = try Sampler(
            options.sampling, scratch: scratch, prompt: prompt, newTokens: options.maxNewTokens, stream: index
        )
        self.textStream = textStream
        maxNewTokens = options.maxNewTokens
        promptTokens = prompt.count
        matcher = StopStringMatcher(options.stopStrings)
        tokens.reserveCapacity(options.maxNewTokens)
    }

    /// Number of tokens so far.
    var count: Int { tokens.count }

    /// Tokens that may follow.
    var remaining: Int { maxNewTokens - tokens.count }

    /// The choice of the tokens that follow, as a device makes it; nil if only the sampler can.
    var choice: TokenChoice? { sampler.choice(steps: remaining) }

    /// Chooses the next token; returns it and the text that became certain.
    mutating func advance(
        _ logits: UnsafeBufferPointer<Float>, endTokens: Set<Int32>
    ) throws(ApusError) -> (id: Int32, text: String) {
        let id = try sampler.choose(logits)
        return (id, try take(id, endTokens: endTokens))
    }

    /// Takes the next token, which was chosen; returns the text that became certain.
    mutating func take(_ id: Int32, endTokens: Set<Int32>) throws(ApusError) -> String {
        sampler.accept(id)
        tokens.append(id)
        let now = ContinuousClock.now
        if firstToken == nil { firstToken = now }
        lastToken = now

        var piece = ""
        if let textStream { piece = matcher.append(try textStream.append(id)) }
        if matcher.isStopped {
            finishReason = .stopString
        } else if endTokens.contains(id) {
            finishReason = .endToken
        } else if tokens.count == maxNewTokens {
            finishReason = .length
        }
        if finishReason != nil, let textStream {
            piece += matcher.append(try textStream.finish())
            piece += matcher.finish()
            if matcher.isStopped { finishReason = .stopString }
        }
        text += piece
        return piece
    }

    /// What the sequence came to, for a request made at `start`.
    func result(start: ContinuousClock.Instant) -> GenerationResult {
        let first = firstToken ?? start
        return GenerationResult(
            tokens: tokens, text: textStream == nil ? nil : text, finishReason: finishReason ?? .length,
            stats: GenerationStats(
                promptTokens: promptTokens, generatedTokens: tokens.count,
                timeToFirstToken: (first - start) / .seconds(1),
                decodeSeconds: ((lastToken ?? first) - first) / .seconds(1)))
    }
}
