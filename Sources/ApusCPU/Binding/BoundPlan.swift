import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A plan bound to memory: every launch knows its pointers, and a pass over all of them allocates nothing.
final class BoundPlan: PoolJob, RunnablePlan {
    /// Where the tensors lie.
    let binding: PlanBinding
    /// The plan.
    var plan: Plan { binding.plan }
    /// What the launches were bound to.
    let context: LaunchContext
    private let pool: ThreadPool
    /// Held: launches know its addresses.
    private let weights: HugeBuffer
    private let launches: [Launch]
    /// The first output, if it is f32.
    private let firstOutput: UnsafeMutablePointer<Float>?
    /// For each launch, the symbols that its sizes follow.
    private let dependencies: [[Int]]
    /// Whether every launch has taken its sizes once.
    private var isSized = false
    /// Where the times of steps go; nil while nobody asks.
    var profile: StepProfile?

    /// Binds a plan to the kernels and threads of the processor.
    init(
        _ binding: PlanBinding, kernels: UnsafePointer<apus_kernels>, pool: ThreadPool
    ) throws(ApusError) {
        self.binding = binding
        self.pool = pool
        let (weights, regions) = (try binding.engine.weights.buffer(), binding.engine.weights.regions)
        self.weights = weights
        let pointers = binding.places.map { place in
            switch place {
            case .weight(let region): weights.base + regions[region].offset
            case .address(let address): address
            }
        }
        context = LaunchContext(
            kernels: kernels, plan: binding.plan, frame: binding.frame, limits: binding.limits,
            workers: pool.count, scratch: Scratch(), symbols: binding.symbols, bounds: binding.bounds,
            faults: Faults(), pointers: pointers, plugins: binding.engine.plugins)
        var launches: [Launch] = []
        for (index, step) in binding.plan.steps.enumerated() {
            let launch = try CPUBackend.launch(step, context)
            launch.index = index
            launches.append(launch)
        }
        self.launches = launches
        let plan = binding.plan
        if let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 {
            firstOutput = try context.floats(output.tensor)
        } else {
            firstOutput = nil
        }
        dependencies = binding.dependencies
        let bytes = launches.reduce(0) { max($0, $1.scratchBytes) }
        if bytes > 0 { try context.scratch.reserve(bytes, workers: pool.count) }
    }

    /// The logits of the last pass, [B, V].
    /// - Throws: `.internal` if the plan's first output is not f32.
    func logits() throws(ApusError) -> UnsafeMutablePointer<Float> {
        guard let firstOutput else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        return firstOutput
    }

    /// Bytes of the workers' scratch.
    var scratchBytes: Int { context.scratch.byteCount }

    /// Runs all steps on the inputs as they are, with the sizes of the frame.
    func run() throws(ApusError) {
        let frame = binding.frame
        try run { frame.value(of: $0) }
    }

    /// Runs all steps on the inputs as they are.
    /// - Parameter free: The values of the symbols that do not follow from others.
    func run(free: (String) -> Int?) throws(ApusError) {
        let symbols = binding.symbols
        _ = try binding.update(isFirst: !isSized, free: free)
        context.faults.reset()
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
