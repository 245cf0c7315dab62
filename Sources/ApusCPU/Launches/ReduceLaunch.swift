import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Sums, means, "any" and running sums along a dimension; workers share the lines.
final class ReduceLaunch: Launch {
    private static let kinds: [String: apus_reduction] = [
        "sum": APUS_SUM, "mean": APUS_MEAN, "any": APUS_ANY, "cumsum": APUS_CUMSUM,
    ]

    static let ops = kinds.keys.sorted()

    static let entries = ops.map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)", forms: [.strided]) { $0.rankRefusal }
    }

    private let kind: apus_reduction
    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private var nest = apus_nest()
    private var size = 0
    private var stride = 0

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        guard let kind = Self.kinds[step.op] else {
            throw ApusError(.internal, "no kernel for the reduction '\(step.op)'")
        }
        self.kind = kind
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = step.int("dim") < 0 ? step.int("dim") + x.rank : step.int("dim")
        super.init(step)
    }

    override func resize() {
        size = x.size(axis)
        stride = x.stride(axis)
        let isSameRank = y.rank == x.rank
        apus_nest_begin(&nest)
        var dimension = 0
        while dimension < x.rank {
            if dimension != axis {
                let place = isSameRank || dimension < axis ? dimension : dimension - 1
                apus_nest_add(&nest, x.size(dimension), y.stride(place), x.stride(dimension), 0, 0)
            }
            dimension += 1
        }
        apus_nest_end(&nest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers)
        apus_reduce(
            kind, x.element.code, x.pointer, size, stride, y.pointer,
            kind == APUS_CUMSUM ? y.stride(axis) : 0, &nest, range.lowerBound, range.upperBound)
    }
}

/// Softmax along a dimension; workers share the lines.
final class SoftmaxLaunch: Launch {
    static let entry = KernelEntry(
        op: "softmax", kernel: "cpu.softmax", forms: [.strided]
    ) { query in
        query.operands[0]?.element == .f32 ? query.rankRefusal : "x is not f32"
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let context: LaunchContext
    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private let mostBytes: Int
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        self.context = context
        kernels = context.kernels
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = step.int("dim") < 0 ? step.int("dim") + x.rank : step.int("dim")
        mostBytes = try context.mostBytes(TensorType(.f32, [x.type.shape[axis]]))
        super.init(step)
    }

    /// A line whose elements are apart is brought together here.
    override var scratchBytes: Int { mostBytes }

    override func resize() {
        apus_nest_begin(&nest)
        var dimension = 0
        while dimension < x.rank {
            if dimension != axis {
                apus_nest_add(&nest, x.size(dimension), y.stride(dimension), x.stride(dimension), 0, 0)
            }
            dimension += 1
        }
        apus_nest_end(&nest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers)
        apus_softmax_strided(
            kernels, x.floats, x.size(axis), x.stride(axis), y.floats, y.stride(axis), &nest,
            range.lowerBound,
            range.upperBound, context.scratch[worker]?.assumingMemoryBound(to: Float.self))
    }
}

/// Keeps one side of a diagonal; workers share the rows.
final class TriangleLaunch: Launch {
    static let entries = ["triu", "tril"].map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)", forms: [.strided]) { $0.rankRefusal }
    }

    private let x: TensorView
    private let y: TensorView
    private let diagonal: Int
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        diagonal = step.int("diagonal")
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, rank: y.rank - 1, x) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        guard y.size(-1) > 0 else { return }
        let range = share(nest.count, worker, workers)
        apus_triangle(
            step.op == "triu" ? 1 : 0, diagonal, y.element.byteCount, x.pointer, x.stride(-1), y.pointer,
            y.size(-2), y.size(-1), &nest, range.lowerBound, range.upperBound)
    }
}
