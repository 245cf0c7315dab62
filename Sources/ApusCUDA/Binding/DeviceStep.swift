import ApusEngine
import ApusGraph
import ApusSupport

/// One step of a plan, or several that one kernel computes, as launches on a device.
///
/// What it launches follows the sizes of the pass; it is asked again whenever a symbol that it depends on changes.
class DeviceStep {
    /// The plan's step.
    let step: Plan.Step
    /// Positions in the plan of the steps that it computes.
    var positions: [Int] = []

    init(_ step: Plan.Step) { self.step = step }

    /// Bytes of scratch at the largest sizes.
    var scratchBytes: Int { 0 }

    /// Symbols whose values the kernels read on the device, so that launches are the same whatever they are.
    var deviceSymbols: Set<String> { [] }

    /// Whether its kernels wait by themselves for those before them, so that they may start early.
    var mayOverlap: Bool { true }

    /// What computes it at the sizes of the pass, one after another: itself, or the steps that it is made of.
    /// - Throws: What asking the device throws.
    func parts() throws(ApusError) -> [DeviceStep] { [self] }

    /// What may compute it at any sizes and on any GPU of the architecture.
    var alternatives: [DeviceStep] { [self] }

    /// What a user should hear of though nothing failed.
    var warnings: [String] { [] }

    /// What is wrong with the data when a kernel reports a fault.
    var faultReason: String { "the data have no result" }

    /// What is put into the stream at the sizes of the pass.
    /// - Throws: `.unsupported` for sizes that no kernel serves.
    func work() throws(ApusError) -> [DeviceWork] { [] }
}

/// One entry of a stream.
enum DeviceWork {
    case kernel(KernelCall)
    case product(LinearProduct)
}

/// The loops over the elements of a result, and of operands that broadcast to it, as kernels take them.
///
/// Loops that lie in each other without gaps, in all views, are one. As words: count, rank, shape[8], then stride[8] of
/// each of four views, the result first; the innermost loop is the last of `rank`.
struct LoopNest {
    /// The number of loops that kernels have.
    static let mostLoops = 8
    /// The number of views that kernels have.
    static let mostViews = 4
    private(set) var shape: [Int] = []
    private(set) var strides: [[Int]] = []

    /// No loops: one element.
    init() { strides = Array(repeating: [], count: Self.mostViews) }

    /// The loops over `result`, its first `rank` dimensions or all of them.
    init(_ result: TensorView, rank: Int? = nil, _ operands: [TensorView?] = []) {
        self.init()
        let full = result.rank
        for axis in 0..<(rank ?? full) {
            add(
                result.size(axis),
                [result.stride(axis)] + operands.map { $0?.stride(axis, broadcastTo: full) ?? 0 })
        }
    }

    /// Adds a loop inside of the others, with the steps of the first views; those of the rest are 0.
    mutating func add(_ size: Int, _ given: [Int]) {
        if size == 1 { return }
        let steps = given + Array(repeating: 0, count: Self.mostViews - given.count)
        if let last = shape.indices.last, steps.indices.allSatisfy({ strides[$0][last] == steps[$0] * size })
        {
            shape[last] *= size
            for view in steps.indices { strides[view][last] = steps[view] }
        } else {
            shape.append(size)
            for view in steps.indices { strides[view].append(steps[view]) }
        }
    }

    /// Number of elements.
    var count: Int { shape.reduce(1, *) }

    /// Whether a view is one run of elements side by side, or a single one.
    func isDense(_ view: Int) -> Bool { shape.isEmpty || (shape.count == 1 && strides[view][0] == 1) }

    /// The nest as an argument.
    var argument: KernelArgument {
        func padded(_ list: [Int]) -> [Int] { list + Array(repeating: 0, count: Self.mostLoops - list.count) }
        return .words([count, shape.count] + padded(shape) + strides.flatMap(padded))
    }
}
