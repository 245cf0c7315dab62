import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A step whose kernel a plugin brings: gives it pointers and sizes, and runs its launch like any other.
final class PluginLaunch: Launch {
    private let launch: any CPULaunch
    private let context: LaunchContext

    init(_ step: Plan.Step, _ context: LaunchContext, _ plugin: any Plugin) throws(ApusError) {
        self.context = context
        guard let kernel = plugin.cpu else {
            throw ApusError(.unsupported, "plugin \(plugin.id) has no CPU kernel; it has to run elsewhere")
        }
        var operands: [KernelTensor?] = []
        for operand in step.operands {
            operands.append(try operand.map { tensor throws(ApusError) in try Self.tensor(tensor, context) })
        }
        var results: [KernelTensor] = []
        for result in step.results { results.append(try Self.tensor(result, context)) }
        let setup = CPUKernelSetup(
            operands: operands, results: results, attributes: step.attributes, workerCount: context.workers,
            instructionSet: String(cString: apus_isa_name(context.kernels.pointee.isa)))
        launch = try ApusError.within("plugin \(plugin.id)") { () throws(ApusError) in
            try kernel.makeLaunch(setup)
        }
        super.init(step)
    }

    private static func tensor(_ index: Int, _ context: LaunchContext) throws(ApusError) -> KernelTensor {
        let tensor = context.plan.tensors[index]
        var shape: [Int] = []
        for dimension in tensor.type.shape {
            guard let size = context.bounds.upperBound(of: dimension) else {
                throw ApusError(.internal, "tensor %\(tensor.name): no bound for \(dimension)")
            }
            shape.append(size)
        }
        return KernelTensor(
            name: tensor.name, type: tensor.type, maximumShape: shape,
            isComputed: context.plan.tensors[context.plan.root(of: index)].storage == .activation,
            packing: tensor.packing,
            pointer: try context.raw(index))
    }

    override var phaseCount: Int { launch.phaseCount }

    override var scratchBytes: Int { launch.scratchBytes }

    override func resize() {
        func shape(_ tensor: Int) -> [Int] {
            context.plan.tensors[tensor].type.shape.map(context.frame.count)
        }
        launch.resize(
            KernelShapes(operands: step.operands.map { $0.map(shape) }, results: step.results.map(shape)))
    }

    override func reset() throws(ApusError) { try launch.prepare() }

    override func run(phase: Int, worker: Int, workers: Int) {
        launch.run(
            CPUWorker(phase: phase, index: worker, count: workers, scratch: context.scratch[worker]))
    }
}
