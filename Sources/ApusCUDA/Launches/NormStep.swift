import ApusEngine
import ApusGraph
import ApusSupport

/// RMS norm and layer norm of many rows, with or without a residual addition before.
final class NormStep: DeviceStep {
    static let kinds = ["rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm"].map { op in
        StepKind(
            KernelEntry(
                op: op, kernel: "cuda.\(op)", forms: [.dense]
            ) { query in
                guard query.operands.allSatisfy({ $0 == nil || $0?.element == .f32 }) else {
                    return "operands are not all f32"
                }
                return query.operands[0]?.shape.last?.constant == nil
                    ? "the width is not constant" : query.rankRefusal
            }
        ) { step, context throws(ApusError) in try NormStep(step, context) }
    }

    private let isLayerNorm: Bool
    private let x: TensorView
    private let delta: TensorView?
    private let weight: TensorView
    private let bias: TensorView?
    private let sum: TensorView?
    private let y: TensorView
    private let width: Int

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        let hasDelta = step.op.hasPrefix("add_")
        isLayerNorm = step.op.hasSuffix("layer_norm")
        x = try context.view(step.operands[0])
        delta = hasDelta ? try context.view(step.operands[1]) : nil
        weight = try context.view(step.operands[hasDelta ? 2 : 1])
        bias = isLayerNorm ? try context.optionalView(step, hasDelta ? 3 : 2) : nil
        sum = hasDelta ? try context.view(step.results[0]) : nil
        y = try context.view(step.results[hasDelta ? 1 : 0])
        width = x.type.shape.last?.constant ?? 0
        super.init(step)
    }

    /// Threads of a row: each keeps eight elements.
    private var threads: Int { min(max((width / 8 + 31) / 32 * 32, 32), 1024) }

    override func work() throws(ApusError) -> [DeviceWork] {
        guard width > 0, y.count > 0 else { return [] }
        let rows = y.count / width
        let unit = KernelUnit(
            "norm",
            [
                "H": "\(width)", "OUT": y.element.kernelType, "VECTOR": "float", "THREADS": "\(threads)",
            ])
        var arguments: [KernelArgument] = [.pointer(x.pointer), .int64(width)]
        if let delta, let sum {
            arguments += [.pointer(delta.pointer), .int64(width), .pointer(sum.pointer)]
        }
        arguments.append(.pointer(weight.pointer))
        if isLayerNorm { arguments.append(.pointer(bias?.pointer)) }
        arguments += [.pointer(y.pointer), .float(Float(step.float("eps")))]
        return [
            .kernel(KernelCall(unit, step.op, grid: .init(rows), block: .init(threads), arguments))
        ]
    }
}
