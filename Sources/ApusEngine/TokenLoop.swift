public import ApusSupport

/// How the tokens of one row are chosen on a device.
public struct TokenChoice: Sendable, Hashable {
    /// Logits are divided by it; 0 takes the largest.
    public var temperature: Float
    /// Tokens to choose among, the likeliest; 0 for all.
    public var topK: Int
    /// Sum of the probabilities that the chosen among reach; 1 for all.
    public var topP: Float
    /// Least probability, as a fraction of the largest; 0 for all.
    public var minP: Float
    /// Uniform numbers in [0, 1), one for each step; none where the largest is taken.
    public var uniforms: [Double]

    /// The largest logit, the first of equals.
    public static let greedy = TokenChoice(temperature: 0, topK: 0, topP: 1, minP: 0, uniforms: [])

    /// Describes a choice.
    public init(temperature: Float, topK: Int, topP: Float, minP: Float, uniforms: [Double]) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.uniforms = uniforms
    }

    /// Whether the largest logit is taken.
    public var isGreedy: Bool { temperature == 0 }
}

/// Decode steps that a device runs by itself: each feeds the tokens that the one before has chosen.
public struct TokenLoopRequest: Sendable {
    /// [batch] the token that each row goes on with; the first step runs them.
    public var tokens: [Int32]
    /// [batch] tokens of each row that the cache holds.
    public var cachedCounts: [Int32]
    /// [batch] how each row chooses.
    public var choices: [TokenChoice]
    /// Tokens after which a row stays as it is.
    public var endTokens: [Int32]
    /// [batch] steps after which a row stays as it is; 0 for a row that has ended already.
    public var stepCounts: [Int]

    /// Describes a loop.
    public init(
        tokens: [Int32], cachedCounts: [Int32], choices: [TokenChoice], endTokens: [Int32], stepCounts: [Int]
    ) {
        self.tokens = tokens
        self.cachedCounts = cachedCounts
        self.choices = choices
        self.endTokens = endTokens
        self.stepCounts = stepCounts
    }
}

/// An executor that runs decode steps without the processor between them.
///
/// Positions, tokens and the test for the end stay on the device; the processor reads tokens while further steps run.
public protocol TokenLoopExecutor: Executor {
    /// Whether the loop can serve a request; if not, passes one by one can.
    func canLoop(_ request: TokenLoopRequest) -> Bool

    /// Runs steps until every row has come to its end, or `onStep` returns false.
    /// - Parameter onStep: Given the tokens [batch] that each step chose, in order; those of rows that had ended before are
    ///   without meaning. Further steps may have run when it returns false: the caches then hold more than the caller
    ///   knows of, which the next pass overwrites.
    /// - Throws: `.invalidInput` for logits without a largest number, and what `onStep` throws.
    func runLoop(
        _ request: TokenLoopRequest, onStep: (UnsafeBufferPointer<Int32>) throws(ApusError) -> Bool
    ) throws(ApusError)
}
