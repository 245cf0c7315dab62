import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Runs a plan with attention plugins: all sequences in one pass, each at its own place of the caches.
final class PluginExecutor: Executor {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: BoundPlan
    private let memory: PlanMemory
    private let caches: [HugeBuffer]
    private let engine: Engine

    init(_ engine: Engine, limits: SessionLimits, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool)
        throws(ApusError)
    {
        self.engine = engine
        self.limits = limits
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        frame = Frame(engine.plan, limits: limits)
        memory = try PlanMemory(engine.plan, limits: limits)
        var caches: [HugeBuffer] = []
        var held: [Int: UnsafeMutableRawPointer] = [:]
        for (_, tensor) in engine.plan.kvCaches {
            let type = engine.plan.tensors[tensor].type
            guard let count = type.elementCount.evaluate(limits.value(of:)) else {
                throw ApusError(.internal, "a KV cache \(type) has no size")
            }
            let cache = try HugeBuffer(byteCount: count * type.element.byteCount, purpose: "the KV cache")
            caches.append(cache)
            held[tensor] = cache.base
        }
        self.caches = caches
        plan = try BoundPlan(
            engine, frame: frame, limits: limits, memory: memory, held: held, kernels: kernels, pool: pool)
        workingBytes =
            memory.arena.byteCount + caches.reduce(0) { $0 + $1.byteCount } + memory.scratchBytes * pool.count
    }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        plan.run()
        return UnsafeBufferPointer(start: plan.logits, count: batch * vocabularySize)
    }
}
