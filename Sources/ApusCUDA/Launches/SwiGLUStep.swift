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

    private static let threads = 256

    private let (x, y): (TensorView, TensorView)

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        (x, y) = (try context.view(step.operands[0]), try context.view(step.results[0]))
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (count, width) = (y.count, y.size(-1))
        guard count > 0 else { return [] }
        let rows = count / width
        let unit = KernelUnit(
            "swiglu",
            [
                "INPUT": x.element.kernelType, "OUT": y.element.kernelType, "N": "\(width)",
                "THREADS": "\(Self.threads)",
            ])
        return [
            .kernel(
                KernelCall(
                    unit, "swiglu",
                    grid: .init((width + 8 * Self.threads - 1) / (8 * Self.threads), min(rows, 65_535)),
                    block: .init(Self.threads), [.pointer(x.pointer), .pointer(y.pointer), .int32(rows)]))
        ]
    }
}
