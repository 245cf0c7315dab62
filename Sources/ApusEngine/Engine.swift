public import ApusGraph

/// A compiled model: the plan, its weights, and what a runtime must know to drive it.
public struct Engine: Sendable {
    /// What the model is.
    public let info: ModelInfo
    /// Steps and tensors.
    public let plan: Plan
    /// Packed weights.
    public let weights: WeightStore
    /// Element type of the weights of matrix products.
    public let precision: ElementType
    /// The plugins that the plan's steps were looked up in, and are again when it is prepared to run.
    public let plugins: PluginRegistry
    /// How the engine came to be.
    public let origin: EngineOrigin

    /// Makes an engine.
    public init(
        info: ModelInfo, plan: Plan, weights: WeightStore, precision: ElementType,
        plugins: PluginRegistry = PluginRegistry(),
        origin: EngineOrigin = EngineOrigin()
    ) {
        self.info = info
        self.plan = plan
        self.weights = weights
        self.precision = precision
        self.plugins = plugins
        self.origin = origin
    }

    /// How keys and values are kept.
    public var cacheMode: CacheMode { plan.cacheMode }

    /// Bytes that a decode step must read.
    ///
    /// These are all weights of linear layers and the output head, and the live part of the KV cache. An embedding
    /// table that is not also the head is read one row a token.
    /// - Parameters:
    ///   - batch: Sequences that share one pass over the weights.
    ///   - depth: Tokens in the cache of each sequence.
    public func bytesPerDecodeStep(batch: Int, depth: Int) -> Int {
        var regions: Set<Int> = []
        var rows = 0
        for step in plan.steps {
            for case let operand? in step.operands {
                guard case .weight(let region) = plan.tensors[plan.root(of: operand)].storage else {
                    continue
                }
                if step.op == "embedding" || step.op == "attention_plugin" {
                    let type = weights.regions[region].type
                    rows += (type.shape.last?.constant ?? 0) * type.element.byteCount * batch
                } else {
                    regions.insert(region)
                }
            }
        }
        let weightBytes = regions.reduce(0) { $0 + weights.regions[$1].byteCount }
        let limits = SessionLimits(batch: batch, chunk: 1, capacity: max(depth, 1))
        let cacheBytes = plan.kvCaches.reduce(0) { sum, cache in
            sum + (plan.byteCount(of: cache.tensor, limits: limits) ?? 0)
        }
        return weightBytes + rows + (depth > 0 ? cacheBytes : 0)
    }
}
