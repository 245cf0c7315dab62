import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Rotary position embedding; workers share the rows.
final class RopeLaunch: Launch {
    static let entry = KernelEntry(op: "rope", kernel: "cpu.rope", forms: [.rows]) { query in
        query.operands.allSatisfy { $0?.element == .f32 } ? query.rankRefusal : "operands are not all f32"
    }

    private let x: TensorView
    private let cosines: TensorView
    private let sines: TensorView
    private let y: TensorView
    private let rotary: Int
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        cosines = try context.view(step.operands[1])
        sines = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        rotary = cosines.type.shape.last?.constant ?? 0
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, rank: y.rank - 1, x, cosines, sines) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers)
        apus_rotate(
            x.floats, cosines.floats, sines.floats, y.floats, y.size(-1), rotary, &nest, range.lowerBound,
            range.upperBound)
    }
}
