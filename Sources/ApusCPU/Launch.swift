import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU
import Synchronization

/// One step of a plan, bound to its pointers and ready to run on all workers of a pool.
///
/// Workers call `run` together for each phase; a barrier separates phases and steps. Nothing here allocates.
class Launch {
    /// The plan's step.
    let step: Plan.Step
    /// The step's position in the plan.
    var index = 0

    init(_ step: Plan.Step) { self.step = step }

    /// Number of phases; a phase may read what all workers wrote in the one before.
    var phaseCount: Int { 1 }

    /// Scratch bytes each worker needs.
    var scratchBytes: Int { 0 }

    /// Takes the sizes of the next forward passes; called before the first and when they change.
    func resize() {}

    /// Called before every forward pass, on one thread, once all launches have their sizes.
    func reset() throws(ApusError) {}

    /// What is wrong with the data when the launch reports a fault.
    var faultReason: String { "the data have no result" }

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
    /// The values that sizes and positions are computed from.
    let symbols: SymbolValues
    /// How large sizes may become.
    let bounds: SizeBounds
    /// Where a launch reports what no kernel can answer, such as an index outside a table.
    let faults: Faults
    /// First byte of the memory that each tensor of the plan lies in.
    let pointers: [UnsafeMutableRawPointer]
    let plugins: PluginRegistry

    func type(_ tensor: Int?) throws(ApusError) -> TensorType { plan.tensors[try index(tensor)].type }

    /// The first byte of a tensor whose place is known before a pass.
    func raw(_ tensor: Int?) throws(ApusError) -> UnsafeMutableRawPointer {
        let index = try index(tensor)
        let entry = plan.tensors[index]
        guard let offset = entry.layout.offset.constant else {
            throw ApusError(
                .internal, "tensor \(entry.name): its place \(entry.layout) changes with the pass")
        }
        return pointers[index] + offset * entry.type.element.byteCount
    }

    /// A tensor with the sizes and steps of the current pass.
    func view(_ tensor: Int?) throws(ApusError) -> TensorView {
        let index = try index(tensor)
        return try TensorView(plan.tensors[index], pointers[index], symbols)
    }

    /// An operand that may be absent.
    func optionalView(_ step: Plan.Step, _ operand: Int) throws(ApusError) -> TensorView? {
        guard operand < step.operands.count, let tensor = step.operands[operand] else { return nil }
        return try view(tensor)
    }

    /// A dimension in the form that is evaluated in each pass.
    func size(_ dimension: Dimension) throws(ApusError) -> Size { try symbols.size(dimension) }

    /// The most bytes that a tensor of that type may have.
    func mostBytes(_ type: TensorType) throws(ApusError) -> Int {
        guard let count = bounds.upperBound(of: type.elementCount) else {
            throw ApusError(.internal, "no bound for the size of \(type)")
        }
        return count * type.element.byteCount
    }

    func floats(_ tensor: Int?) throws(ApusError) -> UnsafeMutablePointer<Float> {
        let index = try index(tensor)
        guard plan.tensors[index].type.element == .f32 else {
            throw ApusError(
                .internal, "tensor \(plan.tensors[index].name): expected f32, got \(plan.tensors[index].type)"
            )
        }
        return try raw(tensor).assumingMemoryBound(to: Float.self)
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

/// What went wrong in a pass where kernels cannot throw: the first step that reported a fault.
final class Faults: Sendable {
    private let first = PaddedCounter()

    /// Forgets what was reported; no worker may be running.
    func reset() { first.value.store(0, ordering: .relaxed) }

    /// Reports that the data of step `index` cannot be computed.
    func report(_ index: Int) {
        _ = first.value.compareExchange(expected: 0, desired: index + 1, ordering: .relaxed)
    }

    /// The step that reported first.
    var step: Int? {
        let value = first.value.load(ordering: .relaxed)
        return value == 0 ? nil : value - 1
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

    /// Bytes of all workers.
    var byteCount: Int { buffer?.byteCount ?? 0 }

    /// The scratch of a worker, nil while none is reserved.
    @inline(__always)
    subscript(worker: Int) -> UnsafeMutableRawPointer? { buffer.map { $0.base + worker * stride } }
}
