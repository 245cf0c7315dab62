import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Tensors that follow from sizes alone: ranges, constants, sizes, causal masks; workers share the elements or rows.
final class GeneratorLaunch: Launch {
    static let ops = ["arange", "causal_mask", "full", "size"]

    static let entries = ops.map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)") { $0.rankRefusal }
    }

    private let y: TensorView
    private let symbols: SymbolValues
    /// The start of a range, the value of a size, the offset of a mask.
    private let number: Size
    private let fill: ElementBytes?
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        symbols = context.symbols
        y = try context.view(step.results[0])
        let name = ["arange": "start", "causal_mask": "offset", "size": "value"][step.op] ?? ""
        number = try context.size(step.size(name))
        fill = step.op == "full" ? ElementBytes(step.float("value"), y.element) : nil
        super.init(step)
    }

    override func resize() { nest = apus_nest(y) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let value = symbols.value(number)
        if let fill {
            var nest = nest
            let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
            apus_fill(
                y.element.byteCount, fill.pointer, y.pointer, &nest, range.lowerBound, range.upperBound)
        } else if step.op == "causal_mask" {
            let range = share(y.size(0), worker, workers)
            apus_causal_mask(
                y.floats, y.size(1), value, step.int("window"), range.lowerBound, range.upperBound)
        } else {
            let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
            apus_arange(y.element.code, Int64(value), y.pointer, range.lowerBound, range.upperBound)
        }
    }
}
