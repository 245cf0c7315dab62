import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Computes whole sequences with a plan that has no cache.
final class PlanComputer: SequenceComputer {
    let batchLimit: Int
    let workingBytes: Int
    private let vocabularySize: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: BoundPlan
    private let output: LogitsOutput
    private let lengths: UnsafeMutableBufferPointer<Int32>
    private let zeros: UnsafeMutableBufferPointer<Int32>

    /// - Parameter limits: Sequences of up to the capacity are computed in one pass, whatever the chunk.
    init(_ engine: Engine, limits: SessionLimits, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool)
        throws(ApusError)
    {
        batchLimit = engine.plan.hasSymbolicBatch ? limits.batch : 1
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        let limits = SessionLimits(batch: batchLimit, chunk: limits.capacity, capacity: limits.capacity)
        let frame = Frame(limits: limits)
        self.frame = frame
        plan = try BoundPlan(
            engine.plan, weights: engine.weights, frame: frame, limits: limits, kernels: kernels, pool: pool,
            plugins: engine.plugins
        ) { name, _ throws(ApusError) in
            guard let pointer = frame.pointer(of: name) else {
                throw ApusError(
                    .internal, "the engine has an input '\(name)' that the runtime does not know")
            }
            return pointer
        }
        output = try LogitsOutput(plan, vocabularySize: vocabularySize, rows: batchLimit)
        workingBytes = plan.memory.byteCount
        lengths = .allocate(capacity: batchLimit)
        lengths.initialize(repeating: 0)
        zeros = .allocate(capacity: batchLimit)
        zeros.initialize(repeating: 0)
    }

    deinit {
        lengths.deallocate()
        zeros.deallocate()
    }

    func compute(
        _ tokens: UnsafeBufferPointer<Int32>, count: Int, length: Int,
        into logits: UnsafeMutableBufferPointer<Float>
    ) throws(ApusError) {
        lengths.update(repeating: Int32(length))
        try frame.load(
            tokens: tokens, batch: count, width: length,
            newCounts: UnsafeBufferPointer(rebasing: lengths[..<count]),
            cachedCounts: UnsafeBufferPointer(rebasing: zeros[..<count]), vocabularySize: vocabularySize,
            maxPositions: maxPositions)
        try plan.run()
        _ = logits.update(from: output.lastTokens(of: frame))
    }
}
