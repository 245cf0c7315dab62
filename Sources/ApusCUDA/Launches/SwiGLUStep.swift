import ApusEngine
import ApusGraph
import ApusSupport

/// silu(gate)·up of packed rows, for many rows.
final class SwiGLUStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "swiglu", kernel: "cuda.swiglu") { query in
            query.operands[0]?.element == .f32 ? nil : "x is not f32"
        }
    ) { step, context throws(ApusError) in try SwiGLUStep(step, context) }

    private let context: DeviceContext
    private let (x, y): (TensorView, TensorView)

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        (x, y) = (try context.view(step.operands[0]), try context.view(step.results[0]))
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (count, width) = (y.count, y.size(-1))
        guard count > 0 else { return [] }
        let unit = KernelUnit("swiglu", ["IN_TYPE": x.element.kernelType, "OUT_TYPE": y.element.kernelType])
        let blocks = min((count + 2047) / 2048, context.processorCount * 16)
        return [
            .kernel(
                KernelCall(
                    unit, "swiglu", grid: .init(blocks), block: .init(256),
                    [.pointer(x.pointer), .pointer(y.pointer), .int64(count / width), .int32(width)]))
        ]
    }
}
