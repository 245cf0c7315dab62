import ApusGraph
package import ApusSupport

/// Runs a plan with static caches, whose sequences all have the same start and the same number of new tokens.
///
/// Rows that agree run in one pass if the plan's batch is symbolic; others run one by one, each on its own part of
/// the caches. A cache that is updated in place has one buffer. Of any other, the update goes to a second buffer, and
/// the two change places after each pass, so that nothing is copied but what the plan itself copies.
package final class StaticCacheExecutor: ProfilingExecutor, TokenLoopExecutor {
    package let limits: SessionLimits
    package let vocabularySize: Int
    private let maxPositions: Int
    private let frame: Frame
    private let memory: PlanMemory
    private let caches: [CacheBuffer]
    private let engine: Engine
    private let device: any PlanDevice
    private let runsBatches: Bool
    private let hasAllLogits: Bool
    /// Whether any cache has a second buffer.
    private let changesBuffers: Bool
    /// For each row, whether its caches lie in the second buffers.
    private var isSwapped: [Bool]
    /// Plans bound to the caches from a row on, one for each direction; nil until a row runs by itself.
    private var plans: [(any RunnablePlan)?]
    private let logits: UnsafeMutablePointer<Float>

    /// The memory of one cache, all rows one after the other.
    private struct CacheBuffer {
        let cache: Plan.StaticCache
        let rowBytes: Int
        let first: any DeviceMemory
        /// Nil if the cache is updated in place.
        let second: (any DeviceMemory)?
    }

    /// Prepares an engine for a device.
    /// - Throws: `.outOfMemory`, `.internal` for caches that do not go together.
    package init(_ engine: Engine, limits: SessionLimits, on device: any PlanDevice) throws(ApusError) {
        self.engine = engine
        self.limits = limits
        self.device = device
        vocabularySize = engine.info.vocabularySize
        maxPositions = engine.info.maxPositions
        runsBatches = engine.plan.hasSymbolicBatch
        hasAllLogits = engine.plan.hasAllLogits
        let passLimits = SessionLimits(
            batch: runsBatches ? limits.batch : 1, chunk: limits.chunk, capacity: limits.capacity)
        frame = try Frame(limits: passLimits, mirror: device.allocateMirror)
        caches = try Self.buffers(engine.plan, limits, device)
        changesBuffers = caches.contains { $0.second != nil }
        memory = try PlanMemory(
            engine.plan, limits: passLimits,
            held: Set(caches.filter { $0.second != nil }.map { engine.plan.root(of: $0.cache.output) }),
            on: device)
        isSwapped = Array(repeating: false, count: limits.batch)
        plans = Array(repeating: nil, count: 2 * limits.batch)
        logits = .allocate(capacity: limits.batch * vocabularySize)
        logits.initialize(repeating: 0, count: limits.batch * vocabularySize)
        // The plans that every session needs are bound now, so that a pass allocates nothing.
        _ = try plan(0, isSwapped: false)
        if changesBuffers { _ = try plan(0, isSwapped: true) }
    }

    deinit { logits.deallocate() }

    private static func buffers(
        _ plan: Plan, _ limits: SessionLimits, _ device: any PlanDevice
    ) throws(ApusError) -> [CacheBuffer] {
        let row = SessionLimits(batch: 1, chunk: 1, capacity: limits.capacity)
        var buffers: [CacheBuffer] = []
        for cache in plan.staticCaches {
            let type = plan.tensors[cache.input].type
            let rows = type.shape.first?.constant == nil ? limits.batch : 1
            guard let count = type.elementCount.evaluate(row.value(of:)), count > 0,
                type.elementCount.evaluate(limits.value(of:)) == count * rows
            else {
                throw ApusError(
                    .internal, "static cache \(cache.name): expected rows of one size, got \(type)")
            }
            // Buffers that change places must be of one form.
            let update = plan.tensors[cache.output]
            guard update.type == type, update.layout == .dense(type.shape),
                plan.tensors[plan.root(of: cache.output)].type == type
            else {
                throw ApusError(
                    .internal, "static cache \(cache.name): expected an update \(type), got \(update.type)")
            }
            let bytes = count * type.element.byteCount
            func make() throws(ApusError) -> any DeviceMemory {
                try device.allocate(bytes * limits.batch, purpose: "the KV cache")
            }
            let first = try make()
            buffers.append(
                CacheBuffer(
                    cache: cache, rowBytes: bytes, first: first, second: cache.isInPlace ? nil : try make()))
        }
        guard buffers.count == plan.kvCaches.count else {
            throw ApusError(
                .internal,
                "the engine has \(plan.kvCaches.count) static caches and updates of \(buffers.count)")
        }
        return buffers
    }

    /// The plan bound to the caches from a row on, bound when it is first asked for.
    private func plan(_ row: Int, isSwapped: Bool) throws(ApusError) -> any RunnablePlan {
        let index = 2 * row + (isSwapped ? 1 : 0)
        if let plan = plans[index] { return plan }
        var inputs: [String: UnsafeMutableRawPointer] = [:]
        var held: [Int: UnsafeMutableRawPointer] = [:]
        for buffer in caches {
            let offset = row * buffer.rowBytes
            let (first, second) = (buffer.first.base + offset, buffer.second.map { $0.base + offset })
            inputs[buffer.cache.name] = isSwapped ? second ?? first : first
            if let second {
                held[engine.plan.root(of: buffer.cache.output)] = isSwapped ? first : second
            }
        }
        let batch = runsBatches && row == 0 ? limits.batch : 1
        let binding = try PlanBinding(
            engine, frame: frame,
            limits: SessionLimits(batch: batch, chunk: limits.chunk, capacity: limits.capacity), on: device,
            memory: memory, held: held
        ) { name, _ throws(ApusError) in inputs[name] }
        let bound = try device.bind(binding)
        plans[index] = bound
        return bound
    }

    package var workingBytes: Int {
        memory.byteCount + (plans.lazy.compactMap { $0?.scratchBytes }.max() ?? 0)
            + caches.reduce(0) { $0 + $1.first.byteCount + ($1.second?.byteCount ?? 0) }
    }

    package func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        guard (1...limits.batch).contains(batch), tokens.count == batch * width, newCounts.count == batch,
            cachedCounts.count == batch
        else {
            throw ApusError(
                .invalidInput,
                "forward pass of \(batch) × \(width) tokens: expected up to \(limits.batch) × \(limits.chunk), "
                    + "and as many ids and counts")
        }
        let bound = min(limits.capacity, maxPositions)
        for row in 0..<batch {
            let (new, cached) = (Int(newCounts[row]), Int(cachedCounts[row]))
            guard (1...max(width, 1)).contains(new), cached >= 0, cached + new <= bound else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(row): \(cached) cached and \(new) new tokens exceed the static cache of \(bound) "
                        + "tokens or the row of \(width); choose a larger context")
            }
        }
        tokenLogits = nil
        if agree(batch, width, newCounts, cachedCounts) {
            tokenLogits = try run(0, tokens, batch: batch, width: width, newCounts, cachedCounts)
        } else {
            for row in 0..<batch {
                let new = Int(newCounts[row])
                _ = try run(
                    row, UnsafeBufferPointer(rebasing: tokens[row * width..<row * width + new]), batch: 1,
                    width: new, UnsafeBufferPointer(rebasing: newCounts[row...row]),
                    UnsafeBufferPointer(rebasing: cachedCounts[row...row]))
            }
        }
        return UnsafeBufferPointer(start: logits, count: batch * vocabularySize)
    }

    package private(set) var tokenLogits: UnsafeBufferPointer<Float>?

    /// Whether all rows of a pass start at the same place, have as many tokens and lie in the same buffers.
    private func agree(
        _ batch: Int, _ width: Int, _ newCounts: UnsafeBufferPointer<Int32>,
        _ cachedCounts: UnsafeBufferPointer<Int32>
    ) -> Bool {
        guard runsBatches || batch == 1 else { return false }
        for row in 0..<batch {
            guard Int(newCounts[row]) == width, cachedCounts[row] == cachedCounts[0],
                isSwapped[row] == isSwapped[0]
            else { return false }
        }
        return true
    }

    /// Runs one pass over `batch` rows from `row` on, and returns the logits of all its tokens if the plan has them.
    private func run(
        _ row: Int, _ tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int,
        _ newCounts: UnsafeBufferPointer<Int32>, _ cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float>? {
        try frame.load(
            tokens: tokens, batch: batch, width: width, newCounts: newCounts, cachedCounts: cachedCounts,
            vocabularySize: vocabularySize, maxPositions: maxPositions)
        let plan = try plan(row, isSwapped: isSwapped[row])
        try plan.run()
        let output = LogitsOutput(
            try plan.logits(), vocabularySize: vocabularySize, hasAllTokens: hasAllLogits)
        output.copyLastTokens(of: frame, to: logits + row * vocabularySize)
        for index in row..<row + batch where changesBuffers { isSwapped[index].toggle() }
        return output.allTokens(of: frame)
    }

    package var warnings: [String] { plans.compactMap { $0 }.flatMap(\.warnings) }

    /// A loop needs all of its rows in one place of the caches: a single one whose cache is updated in place.
    package func canLoop(_ request: TokenLoopRequest) -> Bool {
        guard request.tokens.count == 1, !changesBuffers, let plan = plans[0] else { return false }
        return plan.loop?.canRun(request) ?? false
    }

    package func runLoop(
        _ request: TokenLoopRequest, onStep: (UnsafeBufferPointer<Int32>) throws(ApusError) -> Bool
    ) throws(ApusError) {
        guard let loop = plans[0]?.loop else { throw ApusError(.unsupported, "the device has no token loop") }
        tokenLogits = nil
        try frame.load(request, vocabularySize: vocabularySize, maxPositions: maxPositions)
        try loop.run(request, onStep: onStep)
    }

    package func startProfiling() {
        for plan in plans.compactMap({ $0 }) { plan.profile = StepProfile(plan.plan) }
    }

    package func stopProfiling() -> StepProfile? {
        var sum: StepProfile?
        for plan in plans.compactMap({ $0 }) {
            guard let part = plan.profile else { continue }
            if sum == nil { sum = part } else { sum?.add(part) }
            plan.profile = nil
        }
        return sum
    }
}
