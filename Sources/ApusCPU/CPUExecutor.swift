import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Walks a plan on all workers of a pool; a barrier separates the steps.
///
/// Everything is bound and allocated when it is made: a forward pass allocates nothing.
final class CPUExecutor: Executor, PoolJob {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes: Int
    private let maxPositions: Int
    private let pool: ThreadPool
    private let frame: Frame
    private let arena: HugeBuffer
    private let caches: [HugeBuffer]
    private let weights: WeightStore
    private let launches: [Launch]
    private let logits: UnsafeMutablePointer<Float>

    init(_ engine: Engine, limits: SessionLimits, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool)
        throws(ApusError)
    {
        let plan = engine.plan
        try engine.plugins.check(plan)
        self.limits = limits
        self.pool = pool
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        weights = engine.weights
        let frame = Frame(limits: limits)
        self.frame = frame

        let buffers = try BufferPlan(plan, limits: limits)
        arena = try HugeBuffer(byteCount: buffers.byteCount, purpose: "activations")
        var caches: [HugeBuffer] = []
        var pointers: [UnsafeMutableRawPointer] = []
        for (index, tensor) in plan.tensors.enumerated() {
            switch tensor.storage {
            case .weight(let region):
                pointers.append(engine.weights.buffer.base + engine.weights.regions[region].offset)
            case .activation: pointers.append(arena.base + (buffers.offsets[index] ?? 0))
            case .alias(let root): pointers.append(pointers[root])
            case .input(let name):
                if let pointer = Self.pointer(of: name, in: frame) {
                    pointers.append(pointer)
                } else if Bindings.kvCacheLayer(name) != nil,
                    let bytes = plan.byteCount(of: index, limits: limits)
                {
                    let cache = try HugeBuffer(byteCount: bytes, purpose: "the KV cache")
                    caches.append(cache)
                    pointers.append(cache.base)
                } else {
                    throw ApusError(
                        .internal, "the engine has an input '\(name)' that the runtime does not know")
                }
            }
        }
        self.caches = caches
        guard let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        logits = pointers[output.tensor].assumingMemoryBound(to: Float.self)

        let scratch = Scratch()
        let context = LaunchContext(
            kernels: kernels, plan: plan, frame: frame, limits: limits, workers: pool.count, scratch: scratch,
            pointers: pointers, plugins: engine.plugins)
        var launches: [Launch] = []
        for step in plan.steps { launches.append(try CPUBackend.launch(step, context)) }
        self.launches = launches
        let scratchBytes = launches.reduce(0) { max($0, $1.scratchBytes) }
        try scratch.reserve(scratchBytes, workers: pool.count)
        workingBytes =
            arena.byteCount + caches.reduce(0) { $0 + $1.byteCount } + scratchBytes * pool.count
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
        let hasChanged = try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        // Indices rather than elements: without an optimiser, iterating over an array allocates.
        if hasChanged {
            for index in launches.indices { launches[index].resize() }
        }
        for index in launches.indices { try launches[index].reset() }
        pool.run(self)
        return UnsafeBufferPointer(start: logits, count: batch * vocabularySize)
    }

    func run(worker: Int) {
        let workers = pool.count
        for index in launches.indices {
            let launch = launches[index]
            for phase in 0..<launch.phaseCount {
                launch.run(phase: phase, worker: worker, workers: workers)
                pool.barrier()
            }
        }
    }
}
