import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A matrix product with weights of 8-bit codes and their scales.
final class Int8LinearLaunch: Launch {
    static let entry = KernelEntry(
        op: "int8_linear", kernel: "cpu.int8_linear",
        forms: (0...4).map { OperandForm(packing: QuantizedOperands.packing(of: $0, bits: 8)) }
    ) { QuantizedOperands.refusal($0, bits: 8) }

    private let product: QuantizedProduct
    private let rowCount: Size
    private let context: LaunchContext

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        typealias Position = QuantizedOperands.Position
        let codes = try context.type(step.operands[Position.codes])
        let scales = try context.type(step.operands[Position.scales])
        let x = try context.type(step.operands[Position.x])
        let (n, k) = (codes.shape[0].constant ?? 0, codes.shape[1].constant ?? 0)
        for (position, tensor) in step.operands.enumerated() {
            guard let tensor, let packing = QuantizedOperands.packing(of: position, bits: 8) else { continue }
            guard context.plan.tensors[tensor].packing == packing.name else {
                throw ApusError(
                    .unsupported,
                    "int8_linear: expected '\(context.plan.tensors[tensor].name)' to be a stored weight, got one that is "
                        + "computed in each pass")
            }
        }
        var arguments = apus_quantized_linear()
        arguments.codes = UnsafeRawPointer(try context.raw(step.operands[Position.codes]))
        (arguments.bits, arguments.n, arguments.k) = (8, n, k)
        arguments.group = step.int("group_size")
        arguments.scales = UnsafeRawPointer(try context.raw(step.operands[Position.scales]))
        arguments.scale_dtype = try LaunchContext.dtype(scales.element)
        if step.operands.count > Position.zeroPoints, let zeros = step.operands[Position.zeroPoints] {
            arguments.zeros = UnsafePointer(try context.raw(zeros).assumingMemoryBound(to: UInt8.self))
        }
        arguments.bias = try context.optionalFloats(step, Position.bias).map { UnsafePointer($0) }
        arguments.x = UnsafePointer(try context.floats(step.operands[Position.x]))
        arguments.y = try context.floats(step.results[0])
        (arguments.ldx, arguments.ldy) = (k, n)
        let rows = Dimension.product(x.shape.dropLast())
        rowCount = try context.size(rows)
        self.context = context
        product = QuantizedProduct(
            arguments, isExact: step.string("activations") == "f32",
            mostRows: context.bounds.upperBound(of: rows) ?? 0, workers: context.workers, context.kernels)
        super.init(step)
    }

    override var phaseCount: Int { product.phaseCount }

    override var scratchBytes: Int { product.scratchBytes }

    override func resize() { product.resize(rows: context.symbols.value(rowCount)) }

    override func reset() throws(ApusError) { product.prepare() }

    override func run(phase: Int, worker: Int, workers: Int) {
        product.run(phase: phase, worker: worker, scratch: context.scratch[worker])
    }
}
