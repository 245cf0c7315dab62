import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A product of two activations, batched; workers take blocks of rows and columns as they become free.
///
/// The second operand may lie either way, row-major or as the transpose of a row-major one, so that q·kᵀ and p·v read
/// a cache in place, in its own type.
final class MatmulLaunch: Launch {
    static let entry = KernelEntry(
        op: "matmul", kernel: "cpu.matmul", forms: [.rows, factor]
    ) { query in
        guard query.operands[0]?.element == .f32 else { return "a is not f32" }
        guard query.operands[1]?.element.isFloat == true else { return "b is not floating-point" }
        return query.rankRefusal
    }

    private static let factor = OperandForm(allowsNarrow: true) { layout, type in
        layout.hasDenseRows(type.shape) || isTransposed(layout, type)
    }

    /// Whether the elements of a column of b lie side by side.
    private static func isTransposed(_ layout: Layout, _ type: TensorType) -> Bool {
        layout.strides[type.rank - 2] == 1 || type.shape[type.rank - 2] == 1
    }

    /// Rows of a block: enough to pay for packing b, a multiple of every kernel's tile.
    private static let rowsPerBlock = 192
    /// Columns are handed out in multiples of this many, a whole number of kernel tiles.
    private static let grain = 32
    /// Rows up to which b streams through once.
    private static let fewRows = 8
    /// Blocks that each worker gets on average at least, where the product is large enough.
    private static let blocksPerWorker = 4

    private let kernels: UnsafePointer<apus_kernels>
    private let context: LaunchContext
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private let dtype: apus_dtype
    private let isTransposed: Bool
    private let mostScratch: Int
    private let queue = WorkQueue()
    private var batch = apus_nest()
    private var (m, n, k, lda) = (0, 0, 0, 0)
    private var rows = 1
    private var columns = 1

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        self.context = context
        kernels = context.kernels
        a = try context.view(step.operands[0])
        b = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        dtype = try LaunchContext.dtype(b.element)
        let layout = step.operands[1].map { context.plan.tensors[$0].layout } ?? .dense(b.type.shape)
        isTransposed = Self.isTransposed(layout, b.type)
        let columns = context.bounds.upperBound(of: y.type.shape[y.rank - 1]) ?? 0
        let depth = context.bounds.upperBound(of: a.type.shape[a.rank - 1]) ?? 0
        let table = context.kernels.pointee
        mostScratch = max(
            table.linear_scratch_bytes(1, columns, depth),
            table.linear_scratch_bytes(Self.rowsPerBlock, columns, depth),
            table.matmul_scratch_bytes(Self.rowsPerBlock, columns, depth))
        super.init(step)
    }

    override var scratchBytes: Int { mostScratch }

    override func resize() {
        (m, n, k, lda) = (a.size(-2), b.size(-1), a.size(-1), a.stride(-2))
        var leading = y.rank - 2
        if leading > 0 {
            // Matrices of a that share one of b, as the heads of a group do, are one taller matrix.
            let last = leading - 1
            let step = a.stride(last, broadcastTo: y.rank)
            let count = y.size(last)
            if b.stride(last, broadcastTo: y.rank) == 0, count > 1, m == 1 || step == m * lda, step > 0 {
                lda = m == 1 ? step : lda
                m *= count
                leading -= 1
            }
        }
        apus_nest_begin(&batch)
        var axis = 0
        while axis < leading {
            apus_nest_add(
                &batch, y.size(axis), y.stride(axis), a.stride(axis, broadcastTo: y.rank),
                b.stride(axis, broadcastTo: y.rank), 0)
            axis += 1
        }
        apus_nest_end(&batch)
        rows = m <= Self.fewRows ? max(m, 1) : min(m, Self.rowsPerBlock)
        let rowBlocks = batch.count * ((m + rows - 1) / rows)
        let wanted = context.workers == 1 ? 1 : context.workers * Self.blocksPerWorker
        let parts = max((wanted + max(rowBlocks, 1) - 1) / max(rowBlocks, 1), 1)
        columns = max((n + parts - 1) / parts, 1)
        columns = (columns + Self.grain - 1) / Self.grain * Self.grain
    }

    override func reset() throws(ApusError) { queue.reset() }

    override func run(phase: Int, worker: Int, workers: Int) {
        let columnBlocks = (n + columns - 1) / columns
        let rowBlocks = (m + rows - 1) / rows
        let count = batch.count * rowBlocks * columnBlocks
        while true {
            let ticket = queue.take()
            guard ticket < count else { return }
            let row = ticket / columnBlocks % rowBlocks * rows
            let column = ticket % columnBlocks * columns
            multiply(
                ticket / columnBlocks / rowBlocks, row..<min(row + rows, m),
                column..<min(column + columns, n), context.scratch[worker])
        }
    }

    /// Some rows and columns of one matrix of the batch.
    private func multiply(
        _ matrix: Int, _ rows: Range<Int>, _ columns: Range<Int>, _ scratch: UnsafeMutableRawPointer?
    ) {
        var batch = batch
        withUnsafeTemporaryAllocation(of: Int.self, capacity: Int(APUS_MOST_VIEWS)) { at in
            guard let positions = at.baseAddress else { return }
            apus_nest_at(&batch, matrix, positions)
            let x = a.floats + positions[1] + rows.lowerBound * lda
            let factor = b.pointer + positions[2] * b.element.byteCount
            let result = y.floats + positions[0] + rows.lowerBound * n
            if isTransposed, k > 0 {
                var arguments = apus_linear(
                    w: factor, ldw: b.stride(-1), dtype: dtype, n: n, k: k, x: x, ldx: lda, m: rows.count,
                    bias: nil, y: result, ldy: n)
                kernels.pointee.linear(&arguments, columns.lowerBound, columns.upperBound, scratch)
            } else {
                var arguments = apus_matmul(
                    a: x, lda: lda, b: factor, dtype: dtype, ldb: b.stride(-2), m: rows.count, n: n, k: k,
                    y: result, ldy: n)
                kernels.pointee.matmul(&arguments, columns.lowerBound, columns.upperBound, scratch)
            }
        }
    }
}
