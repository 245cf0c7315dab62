import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Runs a plan with attention plugins: all sequences in one pass, each at its own place of the caches.
final class PluginExecutor: ProfilingExecutor {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: BoundPlan
    private let output: LogitsOutput
    private let caches: [HugeBuffer]

    init(_ engine: Engine, limits: SessionLimits, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool)
        throws(ApusError)
    {
        self.limits = limits
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        let frame = Frame(limits: limits)
        self.frame = frame
        var caches: [HugeBuffer] = []
        plan = try BoundPlan(
            engine.plan, weights: engine.weights, frame: frame, limits: limits, kernels: kernels, pool: pool,
            plugins: engine.plugins
        ) { name, type throws(ApusError) in
            if let pointer = frame.pointer(of: name) { return pointer }
            guard Bindings.kvCacheLayer(name) != nil,
                let count = type.elementCount.evaluate(limits.value(of:))
            else {
                throw ApusError(
                    .internal, "the engine has an input '\(name)' that the runtime does not know")
            }
            let cache = try HugeBuffer(byteCount: count * type.element.byteCount, purpose: "the KV cache")
            caches.append(cache)
            return cache.base
        }
        self.caches = caches
        output = try LogitsOutput(plan, vocabularySize: vocabularySize, rows: limits.batch)
        workingBytes = plan.memory.byteCount + caches.reduce(0) { $0 + $1.byteCount }
    }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        try plan.run()
        return output.lastTokens(of: frame)
    }

    var tokenLogits: UnsafeBufferPointer<Float>? { output.allTokens(of: frame) }

    func startProfiling() { plan.profile = StepProfile(stepCount: plan.plan.steps.count) }

    func stopProfiling() -> StepProfile? {
        defer { plan.profile = nil }
        return plan.profile
    }
}
