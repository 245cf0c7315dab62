public import ApusEngine
import ApusGraph
public import ApusSupport

/// Computes whole sequences with a plan that has no cache, and lets every output be read.
///
///     let computer = try OutputComputer(engine, on: backend, limits: SessionLimits(batch: 1, chunk: 512, capacity: 512))
///     try computer.compute(tokens)
///     let hidden = try computer.output(0)
///
/// Not thread safe.
public final class OutputComputer {
    private let vocabularySize: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: BoundPlan

    /// Prepares memory for sequences of up to the limits' capacity, one at a time.
    /// - Throws: `.outOfMemory`, `.unsupported` for an engine with a cache.
    public init(_ engine: Engine, on backend: CPUBackend, limits: SessionLimits) throws(ApusError) {
        guard engine.cacheMode == .recompute else {
            throw ApusError(
                .unsupported, "expected an engine without a cache, got one of '\(engine.cacheMode.rawValue)'")
        }
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        let limits = SessionLimits(batch: 1, chunk: limits.capacity, capacity: limits.capacity)
        frame = try Frame(limits: limits)
        try engine.plugins.check(engine.plan)
        let device = CPUDevice(kernels: backend.kernels, pool: backend.pool)
        plan = try BoundPlan(
            try PlanBinding(engine, frame: frame, limits: limits, on: device), kernels: backend.kernels,
            pool: backend.pool)
    }

    /// Number of outputs.
    public var outputCount: Int { plan.plan.outputs.count }

    /// Computes one sequence.
    /// - Throws: `.invalidInput` for more tokens than were prepared for, or ids outside the vocabulary.
    public func compute(_ tokens: [Int32]) throws(ApusError) {
        let counts: [Int32] = [Int32(tokens.count), 0]
        try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try counts.withUnsafeBufferPointer { counts throws(ApusError) in
                try frame.load(
                    tokens: tokens, batch: 1, width: tokens.count,
                    newCounts: UnsafeBufferPointer(rebasing: counts[..<1]),
                    cachedCounts: UnsafeBufferPointer(rebasing: counts[1...]), vocabularySize: vocabularySize,
                    maxPositions: maxPositions)
            }
        }
        try plan.run()
    }

    /// The elements of an output, row-major; valid until the next sequence.
    /// - Throws: `.unsupported` if they are not f32.
    public func output(_ index: Int) throws(ApusError) -> UnsafeBufferPointer<Float> {
        let tensor = plan.plan.outputs[index].tensor
        let type = plan.plan.tensors[tensor].type
        guard type.element == .f32 else {
            throw ApusError(.unsupported, "output \(index): expected f32, got \(type)")
        }
        return UnsafeBufferPointer(
            start: try plan.context.floats(tensor), count: frame.count(type.elementCount))
    }
}
