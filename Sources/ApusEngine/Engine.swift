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
    /// Compiled kernels, of backends that compile them.
    public let kernels: KernelStore

    /// Makes an engine.
    public init(
        info: ModelInfo, plan: Plan, weights: WeightStore, precision: ElementType,
        plugins: PluginRegistry = PluginRegistry(),
        origin: EngineOrigin = EngineOrigin(), kernels: KernelStore = KernelStore()
    ) {
        self.info = info
        self.plan = plan
        self.weights = weights
        self.precision = precision
        self.plugins = plugins
        self.origin = origin
        self.kernels = kernels
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
        var read = Set<Int>()
        return plan.steps.reduce(0) {
            $0 + bytesRead(by: $1, of: plan, batch: batch, depth: depth, after: &read)
        }
    }

    /// Bytes that one step of a decode step must read.
    /// - Parameters:
    ///   - step: A step of the plan.
    ///   - other: A plan that a device has made of the engine's, whose step it is; nil for the engine's own.
    ///   - batch: Sequences that share one pass over the weights.
    ///   - depth: Tokens in the cache of each sequence.
    public func bytesRead(by step: Plan.Step, of other: Plan? = nil, batch: Int, depth: Int) -> Int {
        var read = Set<Int>()
        return bytesRead(by: step, of: other ?? plan, batch: batch, depth: depth, after: &read)
    }

    /// The same without the tensors that are in `read`, which then has those of the step too.
    private func bytesRead(
        by step: Plan.Step, of plan: Plan, batch: Int, depth: Int, after read: inout Set<Int>
    ) -> Int {
        var bytes = 0
        for case let operand? in step.operands {
            let root = plan.root(of: operand)
            let tensor = plan.tensors[root]
            switch tensor.storage {
            case .weight(let region):
                let type = weights.regions[region].type
                if step.op == "embedding" || step.op == "attention_plugin" {
                    bytes += (type.shape.last?.constant ?? 0) * type.element.byteCount * batch
                } else if read.insert(root).inserted {
                    bytes += weights.regions[region].byteCount
                }
            case .input(let name):
                guard depth > 0, Bindings.kvCacheLayer(name) != nil, read.insert(root).inserted else {
                    continue
                }
                let limits = SessionLimits(batch: batch, chunk: 1, capacity: depth)
                bytes += plan.byteCount(of: root, limits: limits) ?? 0
            case .activation, .alias: break
            }
        }
        return bytes
    }

    /// Element type of the KV caches; nil if nothing is cached.
    public var kvCacheType: ElementType? { plan.kvCaches.first.map { plan.tensors[$0.tensor].type.element } }
}
