public import ApusGraph
import ApusSupport

/// What an engine file tells of itself without its plan and weights: the section `info`.
public struct EngineManifest: Sendable, Hashable {
    /// The version of Apus that wrote the file.
    public let apusVersion: String
    /// What the model is.
    public let info: ModelInfo
    /// How the checkpoint wants to be sampled.
    public let generation: GenerationDefaults
    /// Element type of the weights of matrix products.
    public let precision: ElementType
    /// How the engine came to be; its sources are read with the plan.
    public let origin: EngineOrigin

    /// Describes an engine that this version of Apus writes.
    init(_ engine: Engine, generation: GenerationDefaults) {
        apusVersion = ApusVersion.current
        info = engine.info
        self.generation = generation
        precision = engine.precision
        origin = engine.origin
    }
}
