import ApusGraph
package import ApusSupport

/// Runs a plan with attention plugins: all sequences in one pass, each at its own place of the caches.
package final class PluginExecutor: ProfilingExecutor, TokenLoopExecutor {
    package let limits: SessionLimits
    package let vocabularySize: Int
    package let workingBytes: Int
    private let maxPositions: Int
    private let frame: Frame
    private let plan: any RunnablePlan
    private let output: LogitsOutput
    private let caches: [any DeviceMemory]

    /// Prepares an engine for a device.
    /// - Throws: `.outOfMemory`, `.internal` for an input that nothing is known of.
    package init(_ engine: Engine, limits: SessionLimits, on device: any PlanDevice) throws(ApusError) {
        self.limits = limits
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        frame = try Frame(limits: limits, mirror: device.allocateMirror)
        var caches: [any DeviceMemory] = []
        let binding = try PlanBinding(engine, frame: frame, limits: limits, on: device) {
            name, type throws(ApusError) in
            guard Bindings.kvCacheLayer(name) != nil,
                let count = type.elementCount.evaluate(limits.value(of:))
            else { return nil }
            let cache = try device.allocate(count * type.element.byteCount, purpose: "the KV cache")
            caches.append(cache)
            return cache.base
        }
        plan = try device.bind(binding)
        self.caches = caches
        output = try LogitsOutput(plan, vocabularySize: vocabularySize, rows: limits.batch)
        workingBytes =
            binding.memory.byteCount + plan.scratchBytes + caches.reduce(0) { $0 + $1.byteCount }
    }

    package func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        try plan.run()
        return output.lastTokens(of: frame)
    }

    package var tokenLogits: UnsafeBufferPointer<Float>? { output.allTokens(of: frame) }

    package var warnings: [String] { plan.warnings }

    package func canLoop(_ request: TokenLoopRequest) -> Bool { plan.loop?.canRun(request) ?? false }

    package func runLoop(
        _ request: TokenLoopRequest, onStep: (UnsafeBufferPointer<Int32>) throws(ApusError) -> Bool
    ) throws(ApusError) {
        guard let loop = plan.loop else { throw ApusError(.unsupported, "the device has no token loop") }
        try frame.load(request, vocabularySize: vocabularySize, maxPositions: maxPositions)
        try loop.run(request, onStep: onStep)
    }

    package func startProfiling() { plan.profile = StepProfile(plan.plan) }

    package func stopProfiling() -> StepProfile? {
        defer { plan.profile = nil }
        return plan.profile
    }
}
