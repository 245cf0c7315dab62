import ApusEngine
import ApusGraph
import ApusSupport

/// Rows of an embedding table, widened to FP32.
final class EmbeddingStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "embedding", kernel: "cuda.embedding", forms: [.dense, .dense.orNarrow]) { query in
            guard query.results[0].element == .f32 else { return "result \(query.results[0]) is not f32" }
            guard query.operands[0]?.element.isFloat == true else { return "the table is not floating-point" }
            guard query.operands[0]?.shape[1].constant != nil else {
                return "the table's width is not constant"
            }
            guard query.operands[1]?.element == .i32 else { return "the ids are not i32" }
            return nil
        }
    ) { step, context throws(ApusError) in try EmbeddingStep(step, context) }

    private static let threads = 128

    private let (table, ids, y): (TensorView, TensorView, TensorView)

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        (table, ids) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        y = try context.view(step.results[0])
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (tokens, width) = (ids.count, table.size(1))
        guard tokens > 0 else { return [] }
        let unit = KernelUnit(
            "embedding",
            ["WEIGHT": table.element.kernelType, "H": "\(width)", "THREADS": "\(Self.threads)"])
        return [
            .kernel(
                KernelCall(
                    unit, "embedding",
                    grid: .init(tokens, (width + 8 * Self.threads - 1) / (8 * Self.threads)),
                    block: .init(Self.threads),
                    [
                        .pointer(ids.pointer), .pointer(table.pointer), .pointer(y.pointer),
                        .int32(table.size(0)),
                        .float(1),
                    ]))
        ]
    }
}
