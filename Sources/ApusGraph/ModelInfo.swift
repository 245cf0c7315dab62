/// What a runtime must know of a model beyond its graph.
public struct ModelInfo: Sendable, Hashable {
    /// The checkpoint's `model_type`, such as `qwen3`.
    public var modelType: String
    /// Number of rows of the output head: every token id is below it.
    public var vocabularySize: Int
    /// Number of positions the model can tell apart; prompt and generated tokens together stay within it.
    public var maxPositions: Int
    /// Number of decoder layers.
    public var layerCount: Int
    /// The precision the checkpoint was written for.
    public var precision: ElementType
    /// Any of these ends a generation.
    public var endTokens: [Int32]
    /// Token that starts a text, if the model has one.
    public var beginToken: Int32?

    /// Makes a description.
    public init(
        modelType: String, vocabularySize: Int, maxPositions: Int, layerCount: Int, precision: ElementType,
        endTokens: [Int32] = [], beginToken: Int32? = nil
    ) {
        self.modelType = modelType
        self.vocabularySize = vocabularySize
        self.maxPositions = maxPositions
        self.layerCount = layerCount
        self.precision = precision
        self.endTokens = endTokens
        self.beginToken = beginToken
    }
}
