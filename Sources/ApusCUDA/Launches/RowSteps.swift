import ApusEngine
import ApusGraph
import ApusSupport

/// Rotary position embedding.
final class RopeStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "rope", kernel: "cuda.rope", forms: [.rows]) { query in
            query.operands.allSatisfy { $0?.element == .f32 } ? query.rankRefusal : "operands are not all f32"
        }
    ) { step, context throws(ApusError) in try RopeStep(step, context) }

    private let x: TensorView
    private let cosines: TensorView
    private let sines: TensorView
    private let y: TensorView
    private let rotary: Int
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        cosines = try context.view(step.operands[1])
        sines = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        rotary = cosines.type.shape.last?.constant ?? 0
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let nest = LoopNest(y, rank: y.rank - 1, [x, cosines, sines])
        let dim = y.size(-1)
        return Self.launch(
            KernelUnit("rope"), "rope", nest.count * (dim - rotary / 2), on: processors,
            [
                x.argument, cosines.argument, sines.argument, y.argument, nest.argument, .int64(dim),
                .int64(rotary),
            ])
    }
}

/// Copies the row of each sequence's last token.
final class GatherLastTokenStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "gather_last_token", kernel: "cuda.gather_last_token") { query in
            query.operands[0]?.element == .f32 ? nil : "x is not f32"
        }
    ) { step, context throws(ApusError) in try GatherLastTokenStep(step, context) }

    private let x: TensorView
    private let last: TensorView
    private let y: TensorView
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        last = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (batch, tokens, width) = (x.size(0), x.size(1), x.size(2))
        return Self.launch(
            KernelUnit("gather_last_token"), "gather_last_token", batch * width, on: processors,
            [x.argument, last.argument, y.argument, .int64(batch), .int64(tokens), .int64(width)])
    }
}

/// Rows of an embedding table, widened to FP32, for ids of any integer type and layout.
final class EmbeddingRowsStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "embedding", kernel: "cuda.embedding_rows", forms: [.strided.orNarrow]) { query in
            guard query.results[0].element == .f32 else { return "result \(query.results[0]) is not f32" }
            guard query.operands[0]?.element.isFloat == true else { return "the table is not floating-point" }
            return query.rankRefusal
        }
    ) { step, context throws(ApusError) in try EmbeddingRowsStep(step, context) }

    private let table: TensorView
    private let ids: TensorView
    private let y: TensorView
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        table = try context.view(step.operands[0])
        ids = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override var faultReason: String { "an index is outside the table" }

    override func work() throws(ApusError) -> [DeviceWork] {
        var nest = LoopNest()
        for axis in 0..<ids.rank { nest.add(ids.size(axis), [y.stride(axis), ids.stride(axis)]) }
        let width = table.size(1)
        let unit = KernelUnit(
            "embedding_rows", ["TABLE": table.element.kernelType, "INDEX": ids.element.kernelType])
        return Self.launch(
            unit, "embedding_rows", nest.count * width, on: context.processorCount,
            [
                table.argument, ids.argument, y.argument, nest.argument, .int64(table.size(0)), .int64(width),
                .int64(table.stride(0)), .int64(table.stride(1)),
            ] + faultArguments(context))
    }
}
