import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Copies rows of an embedding table, widened to FP32; workers share the tokens.
final class EmbeddingLaunch: Launch {
    static let entry = KernelEntry(
        op: "embedding", kernel: "cpu.embedding",
        forms: [OperandForm(packing: PanelPacking()), .strided.orNarrow]
    ) { query in
        guard query.results[0].element == .f32 else { return "result \(query.results[0]) is not f32" }
        guard query.operands[0]?.element.isFloat == true else { return "the table is not floating-point" }
        guard query.operands[0]?.shape[1].constant != nil else { return "the table's width is not constant" }
        return query.rankRefusal
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let table: TensorView
    private let dtype: apus_dtype
    private let isPacked: Bool
    private let width: Int
    private let ids: TensorView
    private let y: TensorView
    private let faults: Faults
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        kernels = context.kernels
        faults = context.faults
        table = try context.view(step.operands[0])
        dtype = try LaunchContext.dtype(table.element)
        isPacked = step.operands[0].map { context.plan.tensors[$0].packing != nil } ?? false
        width = table.type.shape[1].constant ?? 0
        ids = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override var faultReason: String { "an index is outside the table" }

    override func resize() {
        apus_nest_begin(&nest)
        var axis = 0
        while axis < ids.rank {
            apus_nest_add(&nest, ids.size(axis), y.stride(axis), ids.stride(axis), 0, 0)
            axis += 1
        }
        apus_nest_end(&nest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers)
        let fault = apus_embedding_strided(
            kernels, table.pointer, dtype, isPacked ? 1 : 0, table.size(0), width, ids.element.code,
            ids.pointer, y.floats,
            &nest,
            range.lowerBound, range.upperBound)
        if fault != 0 { faults.report(index) }
    }
}
