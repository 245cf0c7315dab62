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
    private let extents: PlanExtents
    /// The first output, if it is f32.
    private let firstOutput: UnsafeMutablePointer<Float>?
    /// For each launch, the symbols that its sizes follow.
    private let dependencies: [[Int]]
    /// Whether every launch has taken its sizes once.
    private var isSized = false
    /// Where the times of steps go; nil while nobody asks.
    var profile: StepProfile?

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
        extents = try PlanExtents(plan, symbols)
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
        if let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 {
            firstOutput = try context.floats(output.tensor)
        } else {
            firstOutput = nil
        }
        dependencies = plan.steps.map { symbols.indices(of: Self.symbols(of: $0, plan)) }
        try memory.reserveScratch(launches.reduce(0) { max($0, $1.scratchBytes) }, workers: pool.count)
    }

    /// The symbols that sizes, steps and attributes of a launch mention.
    private static func symbols(of step: Plan.Step, _ plan: Plan) -> Set<String> {
        var names: Set<String> = []
        for tensor in step.operands.compactMap({ $0 }) + step.results {
            let tensor = plan.tensors[tensor]
            for dimension in tensor.type.shape + tensor.layout.strides + [tensor.layout.offset] {
                names.formUnion(dimension.symbols)
            }
        }
        for attribute in step.attributes.values {
            switch attribute {
            case .dimension(let dimension): names.formUnion(dimension.symbols)
            case .dimensions(let list): names.formUnion(list.flatMap(\.symbols))
            default: break
            }
        }
        return names
    }

    /// The logits of the last pass, [B, V].
    /// - Throws: `.internal` if the plan's first output is not f32.
    func logits() throws(ApusError) -> UnsafeMutablePointer<Float> {
        guard let firstOutput else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        return firstOutput
    }

    /// Runs all steps on the inputs as they are, with the sizes of the frame.
    func run() throws(ApusError) {
        let frame = context.frame
        try run { frame.value(of: $0) }
    }

    /// Runs all steps on the inputs as they are.
    /// - Parameter free: The values of the symbols that do not follow from others.
    /// - Throws: `.invalidInput` if a symbol's value exceeds what memory was planned for, or a step's data has no
    ///   answer, such as an index outside a table.
    func run(free: (String) -> Int?) throws(ApusError) {
        // Several bindings may share a frame.
        context.frame.symbols = context.symbols
        let symbols = context.symbols
        try symbols.update(free: free)
        context.faults.reset()
        if !isSized || symbols.hasChanged { try extents.check(symbols) }
        // Indices rather than elements: without an optimiser, iterating over an array allocates.
        for index in launches.indices where !isSized || symbols.haveChanged(dependencies[index]) {
            launches[index].resize()
        }
        isSized = true
        symbols.settle()
        for index in launches.indices { try launches[index].reset() }
        pool.run(self)
        guard let fault = context.faults.step else { return }
        let step = plan.steps[fault]
        let name = step.results.first.map { plan.tensors[$0].name } ?? ""
        throw ApusError(.invalidInput, "\(step.op) (\(name)): \(launches[fault].faultReason)")
    }

    func run(worker: Int) {
        // The caller's thread is worker 0, and only it writes the profile.
        if worker == 0, profile != nil { return runTimed() }
        let workers = pool.count
        for index in launches.indices {
            let launch = launches[index]
            for phase in 0..<launch.phaseCount {
                launch.run(phase: phase, worker: worker, workers: workers)
                pool.barrier()
            }
        }
    }

    /// The share of worker 0, with the clock read around every step.
    private func runTimed() {
        let workers = pool.count
        var last = ContinuousClock.now
        for index in launches.indices {
            for phase in 0..<launches[index].phaseCount {
                launches[index].run(phase: phase, worker: 0, workers: workers)
                pool.barrier()
            }
            let now = ContinuousClock.now
            profile?.add(now - last, step: index)
            last = now
        }
        profile?.endPass()
    }
}
