import ApusGraph
package import ApusSupport

/// Computes whole sequences with a plan that has no cache.
package final class PlanComputer: SequenceComputer {
    package let batchLimit: Int
    package let workingBytes: Int
    private let vocabularySize: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: any RunnablePlan
    private let output: LogitsOutput
    private let lengths: UnsafeMutableBufferPointer<Int32>
    private let zeros: UnsafeMutableBufferPointer<Int32>

    /// - Parameter limits: Sequences of up to the capacity are computed in one pass, whatever the chunk.
    package init(_ engine: Engine, limits: SessionLimits, on device: any PlanDevice) throws(ApusError) {
        batchLimit = engine.plan.hasSymbolicBatch ? limits.batch : 1
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        let limits = SessionLimits(batch: batchLimit, chunk: limits.capacity, capacity: limits.capacity)
        frame = try Frame(limits: limits, mirror: device.allocateMirror)
        let binding = try PlanBinding(engine, frame: frame, limits: limits, on: device)
        plan = try device.bind(binding)
        output = try LogitsOutput(plan, vocabularySize: vocabularySize, rows: batchLimit)
        workingBytes = binding.memory.byteCount + plan.scratchBytes
        lengths = .allocate(capacity: batchLimit)
        lengths.initialize(repeating: 0)
        zeros = .allocate(capacity: batchLimit)
        zeros.initialize(repeating: 0)
    }

    deinit {
        lengths.deallocate()
        zeros.deallocate()
    }

    package func compute(
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
