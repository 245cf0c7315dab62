import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Scaled dot-product attention as one kernel, straight from keys and values wherever they lie.
///
/// Queries stand at the end of the keys. The result lies token by token, as the projection after it reads it.
final class AttentionLaunch: Launch {
    static let entry = KernelEntry(
        op: "attention", kernel: "cpu.attention", forms: [.rows, .rows.orNarrow, .rows.orNarrow, bias],
        resultOrder: [0, 2, 1, 3], refusal: refusal)

    /// A mask is added to the scores; along the keys it lies side by side or is one number.
    private static let bias = OperandForm(isBias: true) { layout, type in
        layout.hasDenseRows(type.shape) || layout.strides.last == 0
    }

    private static let refusal: @Sendable (KernelQuery) -> String? = { query in
        guard let q = query.operands[0], q.element == .f32 else { return "q is not f32" }
        guard let k = query.operands[1], let v = query.operands[2], k.element.isFloat else {
            return "k and v are not floating-point"
        }
        guard k.element == v.element else {
            return "k is \(k.element.rawValue), v is \(v.element.rawValue)"
        }
        let sizes = [q.shape[1], k.shape[1], q.shape[3]].compactMap(\.constant)
        guard sizes.count == 3, sizes[1] > 0, sizes[0] % sizes[1] == 0 else {
            return "the numbers of heads and the head size are not constant"
        }
        if query.operands.count > 3, let mask = query.operands[3], mask.element != .f32, mask.element != .bool
        {
            return "the mask \(mask) is neither f32 nor boolean"
        }
        return nil
    }

    private let context: LaunchContext
    private let q: TensorView
    private let k: TensorView
    private let v: TensorView
    private let mask: TensorView?
    private let y: TensorView
    private let work: AttentionWork
    /// [batch] position of query 0, then [batch] number of keys.
    private let bounds: UnsafeMutablePointer<Int32>
    private let mostBatch: Int
    private var attention = apus_attention()
    private var (batch, width) = (0, 0)

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        self.context = context
        q = try context.view(step.operands[0])
        k = try context.view(step.operands[1])
        v = try context.view(step.operands[2])
        mask = try context.optionalView(step, 3)
        y = try context.view(step.results[0])
        let (heads, kvHeads) = (q.type.shape[1].constant ?? 1, k.type.shape[1].constant ?? 1)
        let size = q.type.shape[3].constant ?? 0
        mostBatch = max(context.bounds.upperBound(of: q.type.shape[0]) ?? 1, 1)
        work = try AttentionWork(
            context.kernels, heads: heads, kvHeads: kvHeads, headSize: size, batch: mostBatch,
            capacity: context.bounds.upperBound(of: k.type.shape[2]) ?? 0)
        bounds = .allocate(capacity: 2 * mostBatch)
        bounds.initialize(repeating: 0, count: 2 * mostBatch)
        attention.kv_dtype = try LaunchContext.dtype(k.element)
        (attention.q_heads, attention.kv_heads, attention.head_dim) = (heads, kvHeads, size)
        (attention.start, attention.length) = (UnsafePointer(bounds), UnsafePointer(bounds + mostBatch))
        attention.causal = step.bool("is_causal") ? 1 : 0
        attention.window = step.int("sliding_window")
        attention.scale = Float(step.float("scale"))
        attention.softcap = Float(step.float("softcap"))
        super.init(step)
    }

    deinit { bounds.deallocate() }

    override var phaseCount: Int { 2 }

    override var scratchBytes: Int { work.scratchBytes }

    override func resize() {
        (batch, width) = (q.size(0), q.size(2))
        let keys = k.size(2)
        for sequence in 0..<batch {
            bounds[sequence] = Int32(keys - width)
            bounds[mostBatch + sequence] = Int32(keys)
        }
        attention.q = UnsafePointer(q.floats)
        (attention.q_batch_stride, attention.q_head_stride) = (q.stride(0), q.stride(1))
        attention.q_token_stride = q.stride(2)
        (attention.k, attention.v) = (UnsafeRawPointer(k.pointer), UnsafeRawPointer(v.pointer))
        (attention.k_batch_stride, attention.k_head_stride) = (k.stride(0), k.stride(1))
        attention.k_row_stride = k.stride(2)
        (attention.v_batch_stride, attention.v_head_stride) = (v.stride(0), v.stride(1))
        attention.v_row_stride = v.stride(2)
        attention.out = y.floats
        (attention.out_batch_stride, attention.out_head_stride) = (y.stride(0), y.stride(1))
        attention.out_token_stride = y.stride(2)
        guard let mask else { return }
        attention.mask = UnsafePointer(mask.floats)
        attention.mask_batch_stride = mask.stride(0, broadcastTo: 4)
        attention.mask_head_stride = mask.stride(1, broadcastTo: 4)
        attention.mask_row_stride = mask.stride(2, broadcastTo: 4)
        attention.mask_key_stride = mask.stride(3, broadcastTo: 4) == 0 ? 0 : 1
    }

    override func reset() throws(ApusError) { work.reset() }

    override func run(phase: Int, worker: Int, workers: Int) {
        if phase == 0 {
            work.attend(
                attention, batch: batch, tokens: width, workers: workers, scratch: context.scratch[worker])
        } else {
            work.combine(attention, batch: batch, tokens: width, worker: worker, workers: workers)
        }
    }
}
