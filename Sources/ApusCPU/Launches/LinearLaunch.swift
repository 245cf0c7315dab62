import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A matrix product with bias; workers take blocks of output features as they become free.
///
/// The weights stream through once, so a worker that is held up costs at most a block.
final class LinearLaunch: Launch {
    static let entry = KernelEntry(op: "linear", kernel: "cpu.linear") { query in
        guard query.operands[0]?.element == .f32 else { return "x is not f32" }
        guard let weight = query.operands[1], weight.element.isFloat, weight.constantShape != nil else {
            return "the weight is not a constant floating-point matrix"
        }
        if query.operands.count > 2, let bias = query.operands[2], bias.element != .f32 {
            return "bias \(bias) is not f32"
        }
        return nil
    }

    /// Output features are handed out in multiples of this many, a whole number of kernel tiles.
    private static let grain = 32
    /// Rows from which a product is blocked; the kernel decides the same way, this only sizes its work.
    private static let blockedRows = 9
    /// Output features of a blocked product that share one packed copy of x; more gain little.
    private static let blockedFeatures = 512
    /// Blocks each worker gets on average while weights stream through.
    private static let streamedBlocksPerWorker = 6

    private let kernels: UnsafePointer<apus_kernels>
    private var arguments: apus_linear
    private let rowCount: Dimension
    private let context: LaunchContext
    private let queue = WorkQueue()
    private var block = 64

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let weight = try context.type(step.operands[1])
        let x = try context.type(step.operands[0])
        let (n, k) = (weight.shape[0].constant ?? 0, weight.shape[1].constant ?? 0)
        kernels = context.kernels
        rowCount = .product(x.shape.dropLast())
        self.context = context
        arguments = apus_linear(
            w: try context.raw(step.operands[1]), ldw: k, dtype: try LaunchContext.dtype(weight.element),
            n: n,
            k: k,
            x: try context.floats(step.operands[0]), ldx: k, m: 0, bias: try context.optionalFloats(step, 2),
            y: try context.floats(step.results[0]), ldy: n)
        super.init(step)
    }

    override var scratchBytes: Int {
        let rows = context.bounds.upperBound(of: rowCount) ?? 0
        let (n, k) = (arguments.n, arguments.k)
        return max(
            kernels.pointee.linear_scratch_bytes(rows, n, k), kernels.pointee.linear_scratch_bytes(1, n, k))
    }

    override func resize() {
        arguments.m = context.frame.count(rowCount)
        let share = Self.blockedFeatures * context.workers
        let blocksPerWorker =
            arguments.m < Self.blockedRows
            ? Self.streamedBlocksPerWorker : max((arguments.n + share - 1) / share, 1)
        let blocks = context.workers * blocksPerWorker
        let features = (arguments.n + blocks - 1) / blocks
        block = (features + Self.grain - 1) / Self.grain * Self.grain
        block = max(context.workers == 1 ? arguments.n : block, 1)
    }

    override func reset() throws(ApusError) { queue.reset() }

    override func run(phase: Int, worker: Int, workers: Int) {
        var arguments = arguments
        while true {
            let first = queue.take() * block
            guard first < arguments.n else { return }
            kernels.pointee.linear(
                &arguments, first, min(first + block, arguments.n), context.scratch[worker])
        }
    }
}
