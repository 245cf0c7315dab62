public import ApusGraph

/// Everything of an engine but the bytes of its weights.
public struct EngineBlueprint: Sendable {
    /// What the model is.
    public var info: ModelInfo
    /// Steps and tensors.
    public var plan: Plan
    /// Where each packed weight lies, by the index that the plan uses.
    public var regions: [WeightStore.Region]
    /// Element type of the weights of matrix products.
    public var precision: ElementType
    /// How the engine came to be.
    public var origin: EngineOrigin
    /// Compiled kernels, of backends that compile them.
    public var kernels: KernelStore

    /// Makes a blueprint of its parts.
    public init(
        info: ModelInfo, plan: Plan, regions: [WeightStore.Region], precision: ElementType,
        origin: EngineOrigin, kernels: KernelStore = KernelStore()
    ) {
        self.info = info
        self.plan = plan
        self.regions = regions
        self.precision = precision
        self.origin = origin
        self.kernels = kernels
    }
}

extension Engine {
    /// Everything but the bytes of the weights.
    public var blueprint: EngineBlueprint {
        EngineBlueprint(
            info: info, plan: plan, regions: weights.regions, precision: precision, origin: origin,
            kernels: kernels)
    }

    /// Makes an engine of a blueprint and the weights for its regions.
    public init(_ blueprint: EngineBlueprint, weights: WeightStore, plugins: PluginRegistry) {
        self.init(
            info: blueprint.info, plan: blueprint.plan, weights: weights, precision: blueprint.precision,
            plugins: plugins, origin: blueprint.origin, kernels: blueprint.kernels)
    }
}
