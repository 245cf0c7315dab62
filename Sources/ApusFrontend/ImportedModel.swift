public import ApusGraph

/// A model as it was found: its graph at the ATen level, its weights and what else a runtime must know.
public struct ImportedModel: Sendable {
    /// Inputs `input_ids` and `position_ids`, i64[B, S]; output the logits, f32[B, S, V].
    public var graph: Graph
    /// The values of the graph's parameters.
    public var weights: any WeightSource
    /// Sizes, precision and special tokens.
    public var info: ModelInfo
    /// How the checkpoint wants to be sampled.
    public var generation: GenerationDefaults

    /// Makes a model of its parts.
    public init(
        graph: Graph, weights: any WeightSource, info: ModelInfo, generation: GenerationDefaults
    ) {
        self.graph = graph
        self.weights = weights
        self.info = info
        self.generation = generation
    }
}
