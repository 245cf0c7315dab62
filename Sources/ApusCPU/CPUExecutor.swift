import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Runs a model's plan over a batch of sequences, each with its KV cache.
///
/// Everything is bound and allocated when it is made: a forward pass allocates nothing.
final class CPUExecutor: Executor {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes: Int
    private let maxPositions: Int
    private let frame: Frame
    private let caches: [HugeBuffer]
    private let bound: BoundPlan
    private let logits: UnsafeMutablePointer<Float>

    init(_ engine: Engine, limits: SessionLimits, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool)
        throws(ApusError)
    {
        let plan = engine.plan
        try engine.plugins.check(plan)
        self.limits = limits
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        let frame = Frame(limits: limits)
        self.frame = frame
        var caches: [HugeBuffer] = []
        let bounds = SizeBounds(plan.symbols, limits: limits)
        bound = try BoundPlan(
            plan, weights: engine.weights, frame: frame, limits: limits, kernels: kernels, pool: pool,
            plugins: engine.plugins
        ) { name, type throws(ApusError) in
            if let pointer = Self.pointer(of: name, in: frame) { return pointer }
            guard Bindings.kvCacheLayer(name) != nil, let count = bounds.upperBound(of: type.elementCount)
            else {
                throw ApusError(
                    .internal, "the engine has an input '\(name)' that the runtime does not know")
            }
            let cache = try HugeBuffer(byteCount: count * type.element.byteCount, purpose: "the KV cache")
            caches.append(cache)
            return cache.base
        }
        self.caches = caches
        guard let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        logits = try bound.context.floats(output.tensor)
        workingBytes = bound.workingBytes + caches.reduce(0) { $0 + $1.byteCount }
    }

    private static func pointer(of input: String, in frame: Frame) -> UnsafeMutableRawPointer? {
        switch input {
        case Bindings.inputIDs: UnsafeMutableRawPointer(frame.tokens)
        case Bindings.positionIDs: UnsafeMutableRawPointer(frame.positions)
        case Bindings.contextLengths: UnsafeMutableRawPointer(frame.lengths)
        case Bindings.kvCacheStartIndex: UnsafeMutableRawPointer(frame.starts)
        case Bindings.lastTokenIDs: UnsafeMutableRawPointer(frame.lastTokens)
        default: nil
        }
    }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        try bound.run()
        return UnsafeBufferPointer(start: logits, count: batch * vocabularySize)
    }
}
