import ApusEngine
import ApusGraph
import ApusSupport

/// Sums, means, "any" and running sums along a dimension.
final class ReduceStep: DeviceStep {
    /// The macro `REDUCTION` by op.
    private static let reductions = ["sum": "0", "mean": "1", "any": "2", "cumsum": "3"]

    static let kinds = reductions.keys.sorted().map { op in
        StepKind(KernelEntry(op: op, kernel: "cuda.\(op)", forms: [.strided]) { $0.rankRefusal }) {
            step, context throws(ApusError) in try ReduceStep(step, context)
        }
    }

    private let unit: KernelUnit
    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        guard let reduction = Self.reductions[step.op] else {
            throw ApusError(.internal, "no kernel for the reduction '\(step.op)'")
        }
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = x.axis(step)
        var macros = x.element.macros("ELEMENT", "IS_BOOLEAN")
        macros["REDUCTION"] = reduction
        unit = KernelUnit("reduce", macros)
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let isRunning = step.op == "cumsum"
        var nest = LoopNest()
        for dimension in 0..<x.rank where dimension != axis {
            let place = y.rank == x.rank || dimension < axis ? dimension : dimension - 1
            nest.add(x.size(dimension), [y.stride(place), x.stride(dimension)])
        }
        let lanes = lanes(lines: nest.count, isRunning: isRunning)
        return Self.launch(
            unit, "reduce_\(lanes)", nest.count, lanes: lanes, on: processors,
            [
                x.argument, y.argument, nest.argument, .int64(x.size(axis)), .int64(x.stride(axis)),
                .int64(isRunning ? y.stride(axis) : 0),
            ])
    }

    /// Threads of a line: neighbours in memory should be read by neighbouring threads, and no processor be idle.
    private func lanes(lines: Int, isRunning: Bool) -> Int {
        let size = x.size(axis)
        let isFull = lines >= processors * Self.blockThreads
        if size < 16 || (x.stride(axis) != 1 && isFull) { return 1 }
        return size >= 1024 && lines < processors * 8 && !isRunning ? 256 : 32
    }
}

/// Softmax along a dimension.
final class SoftmaxStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "softmax", kernel: "cuda.softmax", forms: [.strided]) { query in
            query.operands[0]?.element == .f32 ? query.rankRefusal : "x is not f32"
        }
    ) { step, context throws(ApusError) in try SoftmaxStep(step, context) }

    /// Elements from which a whole block shares a line.
    private static let leastLong = 1024

    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = x.axis(step)
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        var nest = LoopNest()
        for dimension in 0..<x.rank where dimension != axis {
            nest.add(x.size(dimension), [y.stride(dimension), x.stride(dimension)])
        }
        let lanes = x.size(axis) >= Self.leastLong ? 256 : 32
        return Self.launch(
            KernelUnit("softmax"), "softmax_\(lanes)", nest.count, lanes: lanes, on: processors,
            [
                x.argument, y.argument, nest.argument, .int64(x.size(axis)), .int64(x.stride(axis)),
                .int64(y.stride(axis)),
            ])
    }
}
