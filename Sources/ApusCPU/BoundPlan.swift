import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// The memory that the passes of an executor share: activations, and the scratch of each worker.
final class PlanMemory {
    let buffers: BufferPlan
    let arena: HugeBuffer
    let scratch = Scratch()
    private(set) var scratchBytes = 0

    /// Allocates activations for passes within `limits`.
    /// - Parameter held: Tensors whose memory lies elsewhere.
    init(_ plan: Plan, limits: SessionLimits, held: Set<Int> = []) throws(ApusError) {
        buffers = try BufferPlan(plan, limits: limits, held: held)
        arena = try HugeBuffer(byteCount: buffers.byteCount, purpose: "activations")
    }

    /// Makes sure that each worker has that much scratch; bound launches ask for it anew in every pass.
    func reserveScratch(_ bytes: Int, workers: Int) throws(ApusError) {
        guard bytes > scratchBytes else { return }
        try scratch.reserve(bytes, workers: workers)
        scratchBytes = bytes
    }
}

/// A plan whose launches are bound to memory: walks them on all workers of a pool, with a barrier between steps.
///
/// Everything is allocated when it is made: a pass allocates nothing.
final class BoundPlan: PoolJob {
    /// [B, V]: the logits of the last pass.
    let logits: UnsafeMutablePointer<Float>
    private let launches: [Launch]
    private let pool: ThreadPool
    private let frame: Frame
    private var version = -1

    /// Binds an engine's plan.
    /// - Parameters:
    ///   - engine: Holds plan and weights; the caller keeps it alive.
    ///   - frame: The inputs of a pass.
    ///   - limits: The largest pass.
    ///   - memory: Activations and scratch, planned for no less than `limits`.
    ///   - held: The memory of tensors that lie elsewhere: caches, and updates of caches.
    init(
        _ engine: Engine, frame: Frame, limits: SessionLimits, memory: PlanMemory,
        held: [Int: UnsafeMutableRawPointer], kernels: UnsafePointer<apus_kernels>, pool: ThreadPool
    ) throws(ApusError) {
        let plan = engine.plan
        self.pool = pool
        self.frame = frame
        var pointers: [UnsafeMutableRawPointer] = []
        for (index, tensor) in plan.tensors.enumerated() {
            if let pointer = held[index] {
                pointers.append(pointer)
                continue
            }
            switch tensor.storage {
            case .weight(let region):
                pointers.append(engine.weights.buffer.base + engine.weights.regions[region].offset)
            case .activation: pointers.append(memory.arena.base + (memory.buffers.offsets[index] ?? 0))
            case .alias(let root): pointers.append(pointers[root])
            case .input(let name):
                guard let pointer = frame.pointer(of: name) else {
                    throw ApusError(
                        .internal, "the engine has an input '\(name)' that the runtime does not know")
                }
                pointers.append(pointer)
            }
        }
        guard let output = plan.outputs.first, plan.tensors[output.tensor].type.element == .f32 else {
            throw ApusError(.internal, "the engine's first output is not f32 logits")
        }
        logits = pointers[output.tensor].assumingMemoryBound(to: Float.self)

        let context = LaunchContext(
            kernels: kernels, plan: plan, frame: frame, limits: limits, workers: pool.count,
            scratch: memory.scratch, pointers: pointers)
        var launches: [Launch] = []
        for step in plan.steps { launches.append(try CPUBackend.launch(step, context)) }
        self.launches = launches
        try memory.reserveScratch(
            launches.reduce(0) { max($0, $1.scratchBytes) }, workers: pool.count)
    }

    /// Runs a pass over what the frame was loaded with.
    func run() {
        let hasChanged = version != frame.sizeVersion
        version = frame.sizeVersion
        // Indices rather than elements: without an optimiser, iterating over an array allocates.
        for index in launches.indices {
            if hasChanged { launches[index].resize() }
            launches[index].reset()
        }
        pool.run(self)
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
