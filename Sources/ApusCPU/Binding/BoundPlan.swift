import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A plan bound to memory: every launch knows its pointers, and a pass over all of them allocates nothing.
final class BoundPlan: PoolJob {
    /// The plan.
    let plan: Plan
    /// What the launches were bound to.
    let context: LaunchContext
    /// Activations and scratch, maybe shared with other bindings of the plan.
    let memory: PlanMemory
    private let pool: ThreadPool
    private let weights: WeightStore
    private let launches: [Launch]

    /// Binds a plan.
    /// - Parameters:
    ///   - memory: Activations and scratch, planned for no less than `limits`; nil allocates them.
    ///   - held: The memory of activations that lie elsewhere, such as updates of caches.
    ///   - input: The memory of an input of that name and type; it must outlive the plan.
    /// - Throws: `.outOfMemory`, and whatever `input` throws.
    init(
        _ plan: Plan, weights: WeightStore, frame: Frame, limits: SessionLimits,
        kernels: UnsafePointer<apus_kernels>, pool: ThreadPool, plugins: PluginRegistry,
        memory: PlanMemory? = nil, held: [Int: UnsafeMutableRawPointer] = [:],
        input: (String, TensorType) throws(ApusError) -> UnsafeMutableRawPointer
    ) throws(ApusError) {
        self.plan = plan
        self.weights = weights
        self.pool = pool
        let own: PlanMemory
        if let memory {
            own = memory
        } else {
            own = try PlanMemory(plan, limits: limits, held: Set(held.keys))
        }
        let memory = own
        self.memory = own
        var pointers: [UnsafeMutableRawPointer] = []
        var inputs: [String: UnsafeMutableRawPointer] = [:]
        for (index, tensor) in plan.tensors.enumerated() {
            switch tensor.storage {
            case .weight(let region): pointers.append(weights.buffer.base + weights.regions[region].offset)
            case .activation:
                pointers.append(held[index] ?? memory.arena.base + (memory.buffers.offsets[index] ?? 0))
            case .alias(let owner): pointers.append(pointers[owner])
            case .input(let name):
                let pointer = try input(name, tensor.type)
                inputs[name] = pointer
                pointers.append(pointer)
            }
        }
        let symbols = try SymbolValues(plan.symbols, limits: limits) { name in
            inputs[name].map { UnsafePointer($0.assumingMemoryBound(to: Int32.self)) }
        }
        frame.symbols = symbols
        context = LaunchContext(
            kernels: kernels, plan: plan, frame: frame, limits: limits, workers: pool.count,
            scratch: memory.scratch,
            symbols: symbols, bounds: SizeBounds(plan.symbols, limits: limits), faults: Faults(),
            pointers: pointers, plugins: plugins)
        var launches: [Launch] = []
        for (index, step) in plan.steps.enumerated() {
            let launch = try CPUBackend.launch(step, context)
            launch.index = index
            launches.append(launch)
        }
        self.launches = launches
        try memory.reserveScratch(launches.reduce(0) { max($0, $1.scratchBytes) }, workers: pool.count)
    }

    /// The logits of the last pass, [B, V].
    /// - Throws: `.internal` if the plan's first output is not f32.
    func logits() throws(ApusError) -> UnsafeMutablePointer<Float> {
        guard let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        return try context.floats(output.tensor)
    }

    /// Runs all steps on the inputs as they are.
    /// - Throws: `.invalidInput` if a symbol's value exceeds what memory was planned for, or a step's data has no
    ///   answer, such as an index outside a table.
    func run() throws(ApusError) {
        let frame = context.frame
        // Several bindings may share a frame.
        frame.symbols = context.symbols
        let hasChanged = try context.symbols.update { frame.value(of: $0) }
        context.faults.reset()
        // Indices rather than elements: without an optimiser, iterating over an array allocates.
        if hasChanged {
            for index in launches.indices { launches[index].resize() }
        }
        for index in launches.indices { try launches[index].reset() }
        pool.run(self)
        guard let fault = context.faults.step else { return }
        let step = plan.steps[fault]
        let name = step.results.first.map { plan.tensors[$0].name } ?? ""
        throw ApusError(.invalidInput, "\(step.op) (\(name)): \(launches[fault].faultReason)")
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
