public import ApusGraph

/// A model as it was found: its graph at the ATen level, its weights and what else a runtime must know.
public struct ImportedModel: Sendable {
    /// Of a checkpoint: inputs `input_ids` and `position_ids`, i64[B, S]; output the logits, f32[B, S, V].
    ///
    /// Of an
    /// exported program: its inputs in order, then its state; its outputs, the logits first, then the new state.
    public var graph: Graph
    /// The values of the graph's parameters.
    public var weights: any WeightSource
    /// Sizes, precision and special tokens.
    public var info: ModelInfo
    /// How the checkpoint wants to be sampled.
    public var generation: GenerationDefaults
    /// What an exported program keeps from one call to the next, such as a static KV cache.
    public var states: [ImportedState] = []
    /// What a reader should know of an import, such as assertions of a program that were not proven.
    public var notes: [String] = []

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

/// A tensor that an exported program keeps from one call to the next: zeros at first, then what the last call gave.
public struct ImportedState: Sendable, Hashable {
    /// The name of the graph's input that takes it: the buffer's fully qualified name, or a user input.
    public let input: String
    /// The place of the graph's output that gives its next value.
    public let output: Int
}
