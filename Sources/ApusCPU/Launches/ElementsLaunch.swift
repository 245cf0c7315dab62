import ApusEngine
import ApusSupport
import CApusCPU

/// A step with one operand and one result of the same shape, element by element; workers share the elements.
class ElementsLaunch: Launch {
    final let x: TensorView
    final let y: TensorView
    private final var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, x) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        compute(&nest, share(nest.count, worker, workers, grain: UnaryLaunch.grain))
    }

    /// Computes the elements of a range of the nest.
    func compute(_ nest: inout apus_nest, _ range: Range<Int>) {}
}
