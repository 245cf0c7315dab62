import ApusEngine
import ApusGraph
import ApusSupport

/// A product of two activations, batched.
///
/// The second operand may lie either way, row-major or as the transpose of a row-major one, so that q·kᵀ and p·v read
/// a cache in place, in its own type.
final class MatmulStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "matmul", kernel: "cuda.matmul", forms: [.rows, factor]) { query in
            guard query.operands[0]?.element == .f32 else { return "a is not f32" }
            guard query.operands[1]?.element.isFloat == true else { return "b is not floating-point" }
            return query.rankRefusal
        }
    ) { step, context throws(ApusError) in try MatmulStep(step, context) }

    private static let factor = OperandForm(allowsNarrow: true) { layout, type in
        layout.hasDenseRows(type.shape) || isTransposed(layout, type)
    }

    /// Whether the elements of a column of b lie side by side.
    private static func isTransposed(_ layout: Layout, _ type: TensorType) -> Bool {
        layout.strides[type.rank - 2] == 1 || type.shape[type.rank - 2] == 1
    }

    /// Rows up to which b streams through once.
    private static let fewRows = 8

    private let unit: KernelUnit
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private let isTransposed: Bool
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        a = try context.view(step.operands[0])
        b = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        let layout = step.operands[1].map { context.plan.tensors[$0].layout } ?? .dense(b.type.shape)
        isTransposed = Self.isTransposed(layout, b.type)
        unit = KernelUnit("matmul", ["ELEMENT": b.element.kernelType, "ALONG_K": isTransposed ? "1" : "0"])
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        var (m, lda) = (a.size(-2), a.stride(-2))
        let (n, k) = (b.size(-1), a.size(-1))
        var leading = y.rank - 2
        if leading > 0 {
            // Matrices of a that share one of b, as the heads of a group do, are one taller matrix.
            let last = leading - 1
            let (step, count) = (a.stride(last, broadcastTo: y.rank), y.size(last))
            if b.stride(last, broadcastTo: y.rank) == 0, count > 1, m == 1 || step == m * lda, step > 0 {
                if m == 1 { lda = step }
                m *= count
                leading -= 1
            }
        }
        let nest = LoopNest(y, rank: leading, [a, b])
        guard max(m, n, k) <= Int32.max else {
            throw ApusError(.unsupported, "matmul of \(m) × \(k) by \(k) × \(n): expected sizes below 2^31")
        }
        // The only row or column may have any step.
        let (bk, bn) = (b.size(-2) == 1 ? 0 : b.stride(-2), n == 1 ? 0 : b.stride(-1))
        let arguments: [KernelArgument] = [
            a.argument, b.argument, y.argument, nest.argument, .int32(m), .int32(n), .int32(k), .int64(lda),
            .int64(bk), .int64(bn),
        ]
        let (function, blocks) = variant(matrices: nest.count, m, n)
        return Self.launch(
            unit, function, m == 0 ? 0 : blocks, lanes: Self.blockThreads, on: processors, arguments)
    }

    /// The kernel for so many rows and columns, and its blocks.
    private func variant(matrices: Int, _ m: Int, _ n: Int) -> (String, Int) {
        func blocks(_ rows: Int, _ columns: Int) -> Int {
            matrices * ((m + rows - 1) / rows) * ((n + columns - 1) / columns)
        }
        if m <= Self.fewRows {
            let rows = m <= 2 ? max(m, 1) : m <= 4 ? 4 : 8
            return ("matmul_rows_\(rows)", blocks(rows, isTransposed ? 8 : 32))
        }
        let large = blocks(128, 128)
        return large >= processors && m > 64 && n > 64 ? ("matmul_128", large) : ("matmul_64", blocks(64, 64))
    }
}
