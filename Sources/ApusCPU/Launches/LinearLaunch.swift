import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A matrix product with bias; workers take blocks of output features as they become free.
///
/// The weights stream through once, so a worker that is held up costs at most a block. Stored weights lie in panels; one
/// that the pass computes is packed into panels first, in a phase of its own.
final class LinearLaunch: Launch {
    static let entry = KernelEntry(
        op: "linear", kernel: "cpu.linear", forms: [.dense, OperandForm(packing: PanelPacking()), .dense]
    ) { query in
        guard query.operands[0]?.element == .f32 else { return "x is not f32" }
        guard let weight = query.operands[1], weight.element.isFloat, weight.constantShape != nil else {
            return "the weight is not a constant floating-point matrix"
        }
        if query.operands.count > 2, let bias = query.operands[2], bias.element != .f32 {
            return "bias \(bias) is not f32"
        }
        return nil
    }

    /// Output features are handed out in multiples of this many, four panels: a tile of the kernels for few rows.
    private static let grain = 64
    /// Rows from which a product is blocked; the kernel decides the same way, this only sizes its work.
    private static let blockedRows = 9
    /// Output features of a blocked product that share one packed copy of x; more gain little.
    private static let blockedFeatures = 512
    /// Blocks each worker gets on average while weights stream through.
    private static let streamedBlocksPerWorker = 6

    private let kernels: UnsafePointer<apus_kernels>
    private var arguments: apus_packed_linear
    /// A weight that is computed, row-major, and the memory of its panels; nil for a stored one.
    private let computed: (rows: UnsafeMutableRawPointer, panels: HugeBuffer)?
    private let rowCount: Size
    private let mostRows: Int
    private let context: LaunchContext
    private let queue = WorkQueue()
    private var block = 64

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let weight = try context.type(step.operands[1])
        let x = try context.type(step.operands[0])
        let (n, k) = (weight.shape[0].constant ?? 0, weight.shape[1].constant ?? 0)
        kernels = context.kernels
        let rows = Dimension.product(x.shape.dropLast())
        rowCount = try context.size(rows)
        mostRows = context.bounds.upperBound(of: rows) ?? 0
        self.context = context
        let dtype = try LaunchContext.dtype(weight.element)
        let bytes = try context.raw(step.operands[1])
        if let tensor = step.operands[1], context.plan.tensors[tensor].packing == nil {
            let panels = try HugeBuffer(
                byteCount: apus_panel_bytes(Int32(dtype.rawValue), n, k),
                purpose: "panels of a computed weight")
            computed = (bytes, panels)
        } else {
            computed = nil
        }
        arguments = apus_packed_linear(
            w: computed?.panels.base ?? bytes, dtype: dtype, n: n, k: k,
            x: try context.floats(step.operands[0]), ldx: k, m: 0, bias: try context.optionalFloats(step, 2),
            y: try context.floats(step.results[0]), ldy: n)
        super.init(step)
    }

    override var scratchBytes: Int {
        kernels.pointee.packed_linear_scratch_bytes(mostRows, arguments.k)
    }

    override var phaseCount: Int { computed == nil ? 1 : 2 }

    override func resize() {
        arguments.m = context.symbols.value(rowCount)
        let share = Self.blockedFeatures * context.workers
        let blocksPerWorker =
            arguments.m < Self.blockedRows
            ? Self.streamedBlocksPerWorker : max((arguments.n + share - 1) / share, 1)
        let blocks = context.workers * blocksPerWorker
        let features = (arguments.n + blocks - 1) / blocks
        // Small matrices are dealt out by panels: a worker without work costs more than a narrow tile.
        let grain = features < Self.grain ? Int(APUS_PANEL) : Self.grain
        block = arguments.m < Self.blockedRows ? features / grain * grain : features + grain - 1
        block = max(block / grain * grain, grain)
        block = max(context.workers == 1 ? arguments.n : block, 1)
    }

    override func reset() throws(ApusError) { queue.reset() }

    override func run(phase: Int, worker: Int, workers: Int) {
        var arguments = arguments
        if phase == 0, let computed {
            let range = share(arguments.n, worker, workers, grain: Int(APUS_PANEL))
            apus_pack_panels(
                Int32(arguments.dtype.rawValue), computed.rows, arguments.k, arguments.n, arguments.k,
                range.lowerBound, range.upperBound, computed.panels.base)
            return
        }
        while true {
            let first = queue.take() * block
            guard first < arguments.n else { return }
            kernels.pointee.packed_linear(
                &arguments, first, min(first + block, arguments.n), context.scratch[worker])
        }
    }
}
