import ApusEngine
import ApusGraph
import ApusSupport

/// Rows of an embedding table, widened to FP32.
final class EmbeddingStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "embedding", kernel: "cuda.embedding", forms: [.dense, .dense.orNarrow]) { query in
            guard query.results[0].element == .f32 else { return "result \(query.results[0]) is not f32" }
            guard query.operands[0]?.element.isFloat == true else { return "the table is not floating-point" }
            guard query.operands[0]?.shape[1].constant != nil else { return "the table's width is not constant" }
            return nil
        }
    ) { step, context throws(ApusError) in try EmbeddingStep(step, context) }

    private let context: DeviceContext
    private let (table, ids, y): (TensorView, TensorView, TensorView)

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        (table, ids) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        y = try context.view(step.results[0])
        super.init(step)
    }

    override var faultReason: String { "an index is outside the table" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let tokens = ids.count
        guard tokens > 0 else { return [] }
        let unit = KernelUnit(
            "embedding", ["TABLE_TYPE": table.element.kernelType, "ID_TYPE": ids.element.kernelType])
        return [
            .kernel(
                KernelCall(
                    unit, "embedding", grid: .init(tokens), block: .init(256),
                    [
                        .pointer(table.pointer), .pointer(ids.pointer), .pointer(y.pointer), .int32(table.size(0)),
                        .int32(table.size(1)), .pointer(context.fault), .int32(positions.first ?? 0),
                    ]))
        ]
    }
}
