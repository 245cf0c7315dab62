import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// One step of a plan, bound to its pointers and ready to run on all workers of a pool.
///
/// Workers call `run` together for each phase; a barrier separates phases and steps. Nothing here allocates.
class Launch {
    /// The plan's step.
    let step: Plan.Step

    init(_ step: Plan.Step) { self.step = step }

    /// Number of phases; a phase may read what all workers wrote in the one before.
    var phaseCount: Int { 1 }

    /// Scratch bytes each worker needs.
    var scratchBytes: Int { 0 }

    /// Takes the sizes of the next forward passes; called before the first and when they change.
    func resize() {}

    /// Called before every forward pass, on one thread, once all launches have their sizes.
    func reset() throws(ApusError) {}

    /// Runs the share of `worker` of `workers` in a phase.
    func run(phase: Int, worker: Int, workers: Int) {}
}

/// The half-open range of `count` items that falls to a worker, in multiples of `grain`.
@inline(__always)
func share(_ count: Int, _ worker: Int, _ workers: Int, grain: Int = 1) -> Range<Int> {
    let units = (count + grain - 1) / grain
    let lower = min(units * worker / workers * grain, count)
    let upper = min(units * (worker + 1) / workers * grain, count)
    return lower..<max(upper, lower)
}

/// What a launch is bound to when an executor is made: pointers, sizes, kernels.
struct LaunchContext {
    let kernels: UnsafePointer<apus_kernels>
    let plan: Plan
    let frame: Frame
    let limits: SessionLimits
    let workers: Int
    let scratch: Scratch
    /// First byte of each tensor of the plan.
    let pointers: [UnsafeMutableRawPointer]
    let plugins: PluginRegistry

    func type(_ tensor: Int?) throws(ApusError) -> TensorType { plan.tensors[try index(tensor)].type }

    func raw(_ tensor: Int?) throws(ApusError) -> UnsafeMutableRawPointer { pointers[try index(tensor)] }

    func floats(_ tensor: Int?) throws(ApusError) -> UnsafeMutablePointer<Float> {
        let index = try index(tensor)
        guard plan.tensors[index].type.element == .f32 else {
            throw ApusError(
                .internal, "tensor \(plan.tensors[index].name): expected f32, got \(plan.tensors[index].type)"
            )
        }
        return pointers[index].assumingMemoryBound(to: Float.self)
    }

    /// The floats of an optional operand, nil if the step has none.
    func optionalFloats(_ step: Plan.Step, _ operand: Int) throws(ApusError) -> UnsafeMutablePointer<Float>? {
        guard operand < step.operands.count, let tensor = step.operands[operand] else { return nil }
        return try floats(tensor)
    }

    private func index(_ tensor: Int?) throws(ApusError) -> Int {
        guard let tensor else { throw ApusError(.internal, "a step lacks an operand that its kernel needs") }
        return tensor
    }

    /// The kernel type of an element type.
    static func dtype(_ element: ElementType) throws(ApusError) -> apus_dtype {
        switch element {
        case .f32: APUS_F32
        case .f16: APUS_F16
        case .bf16: APUS_BF16
        default: throw ApusError(.internal, "no kernel reads \(element.rawValue)")
        }
    }
}

/// Memory of each worker for the inside of a kernel.
final class Scratch: @unchecked Sendable {
    private var buffer: HugeBuffer?
    private var stride = 0

    /// Makes room for `bytes` a worker.
    func reserve(_ bytes: Int, workers: Int) throws(ApusError) {
        stride = (bytes + 4095) / 4096 * 4096
        buffer = try HugeBuffer(byteCount: stride * workers, purpose: "kernel scratch")
    }

    /// The scratch of a worker, nil while none is reserved.
    @inline(__always)
    subscript(worker: Int) -> UnsafeMutableRawPointer? { buffer.map { $0.base + worker * stride } }
}
