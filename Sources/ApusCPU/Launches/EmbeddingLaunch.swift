import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Copies rows of an embedding table, widened to FP32; workers share the tokens.
final class EmbeddingLaunch: Launch {
    static let entry = KernelEntry(op: "embedding", kernel: "cpu.embedding") { query in
        guard query.results[0].element == .f32 else { return "result \(query.results[0]) is not f32" }
        guard query.operands[1]?.element == .i64 || query.operands[1]?.element == .i32 else {
            return "indices are not integers"
        }
        return nil
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let table: UnsafeMutableRawPointer
    private let dtype: apus_dtype
    private let width: Int
    private let ids: UnsafeMutablePointer<Int32>
    private let y: UnsafeMutablePointer<Float>
    private let count: Dimension
    private let frame: Frame
    private var rows = 0

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let type = try context.type(step.operands[0])
        kernels = context.kernels
        table = try context.raw(step.operands[0])
        dtype = try LaunchContext.dtype(type.element)
        width = type.shape[1].constant ?? 0
        ids = try context.raw(step.operands[1]).assumingMemoryBound(to: Int32.self)
        y = try context.floats(step.results[0])
        count = try context.type(step.operands[1]).elementCount
        frame = context.frame
        super.init(step)
    }

    override func resize() { rows = frame.count(count) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let range = share(rows, worker, workers)
        guard !range.isEmpty else { return }
        kernels.pointee.embedding(
            table, dtype, width, ids + range.lowerBound, y + range.lowerBound * width, range.count)
    }
}
