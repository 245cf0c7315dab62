import ApusEngine
import ApusGraph
import ApusSupport

/// A step whose kernels a plugin brings: its source is compiled, and its launches are made for the sizes of each pass.
final class PluginStep: DeviceStep {
    private let context: DeviceContext
    private let kernel: CUDAKernel
    private let operands: [TensorView?]
    private let results: [TensorView]
    private let unit: KernelUnit

    init(_ step: Plan.Step, _ context: DeviceContext, _ plugin: any Plugin) throws(ApusError) {
        guard let kernel = plugin.cuda else {
            throw ApusError(.unsupported, "plugin \(plugin.id) has no CUDA kernel; it has to run elsewhere")
        }
        self.context = context
        self.kernel = kernel
        var operands: [TensorView?] = []
        for index in step.operands.indices { operands.append(try context.optionalView(step, index)) }
        var results: [TensorView] = []
        for result in step.results { results.append(try context.view(result)) }
        (self.operands, self.results) = (operands, results)
        let query = KernelQuery(
            op: step.op, operands: operands.map { $0?.type }, results: results.map(\.type),
            attributes: step.attributes)
        unit = KernelUnit("\(plugin.id)", kernel.definitions(query), text: kernel.source)
        super.init(step)
    }

    /// The kernels know nothing of launches that overlap.
    override var mayOverlap: Bool { false }

    override var scratchBytes: Int {
        func most(_ view: TensorView) -> [Int] {
            view.type.shape.map { context.bounds.upperBound(of: $0) ?? 0 }
        }
        return kernel.scratchBytes(
            call(KernelShapes(operands: operands.map { $0.map(most) }, results: results.map(most))))
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        func sizes(_ view: TensorView) -> [Int] { (0..<view.rank).map { view.size($0) } }
        let call = call(KernelShapes(operands: operands.map { $0.map(sizes) }, results: results.map(sizes)))
        return try ApusError.within("plugin \(unit.source)") { () throws(ApusError) in
            var work: [DeviceWork] = []
            for launch in try kernel.launches(call) { work.append(.kernel(try kernelCall(launch))) }
            return work
        }
    }

    private func call(_ shapes: KernelShapes) -> CUDACall {
        CUDACall(shapes: shapes, attributes: step.attributes, processorCount: context.processorCount)
    }

    private func kernelCall(_ launch: CUDALaunch) throws(ApusError) -> KernelCall {
        var arguments: [KernelArgument] = []
        for argument in launch.arguments {
            switch argument {
            case .operand(let index):
                guard operands.indices.contains(index) else {
                    throw Self.missing("operand \(index)", launch, operands.count)
                }
                arguments.append(.pointer(operands[index]?.pointer))
            case .result(let index):
                guard results.indices.contains(index) else {
                    throw Self.missing("result \(index)", launch, results.count)
                }
                arguments.append(.pointer(results[index].pointer))
            case .scratch(let offset): arguments.append(.pointer(context.scratch(at: offset)))
            case .int32(let value): arguments.append(.int32(Int(value)))
            case .int64(let value): arguments.append(.int64(Int(value)))
            case .float(let value): arguments.append(.float(value))
            }
        }
        return KernelCall(
            unit, launch.function, grid: launch.grid, block: launch.block, sharedBytes: launch.sharedBytes,
            arguments)
    }

    private static func missing(_ what: String, _ launch: CUDALaunch, _ count: Int) -> ApusError {
        ApusError(
            .mismatch, "kernel '\(launch.function)': expected an argument of \(count) tensors, got \(what)")
    }
}
