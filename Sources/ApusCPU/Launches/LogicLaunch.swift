import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Whether two elements are related, and connectives of booleans; workers share the elements.
final class RelationLaunch: Launch {
    private static let kinds: [String: apus_relation] = [
        "eq": APUS_EQ, "ne": APUS_NE, "lt": APUS_LT, "le": APUS_LE, "gt": APUS_GT, "ge": APUS_GE,
        "logical_and": APUS_AND, "logical_or": APUS_OR, "logical_xor": APUS_XOR,
    ]

    static let ops = kinds.keys.sorted()

    static let entries = ops.map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)", forms: [.strided]) { $0.rankRefusal }
    }

    private let kind: apus_relation
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        guard let kind = Self.kinds[step.op] else {
            throw ApusError(.internal, "no kernel for the relation '\(step.op)'")
        }
        self.kind = kind
        a = try context.view(step.operands[0])
        b = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, a, b) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
        apus_related(
            kind, a.element.code, a.pointer, b.pointer, y.pointer.assumingMemoryBound(to: UInt8.self), &nest,
            range.lowerBound, range.upperBound)
    }
}

/// The negation of booleans.
final class LogicalNotLaunch: ElementsLaunch {
    static let entry = KernelEntry(
        op: "logical_not", kernel: "cpu.logical_not", forms: [.strided]
    ) { $0.rankRefusal }

    override func compute(_ nest: inout apus_nest, _ range: Range<Int>) {
        apus_not(
            x.pointer.assumingMemoryBound(to: UInt8.self), y.pointer.assumingMemoryBound(to: UInt8.self),
            &nest, range.lowerBound, range.upperBound)
    }
}

/// Chooses between two elements; workers share the elements.
final class WhereLaunch: Launch {
    static let entry = KernelEntry(op: "where", kernel: "cpu.where", forms: [.strided]) { $0.rankRefusal }

    private let condition: TensorView
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        condition = try context.view(step.operands[0])
        a = try context.view(step.operands[1])
        b = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, condition, a, b) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
        apus_where(
            y.element.byteCount, condition.pointer.assumingMemoryBound(to: UInt8.self), a.pointer, b.pointer,
            y.pointer, &nest, range.lowerBound, range.upperBound)
    }
}
