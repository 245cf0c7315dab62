import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// The AttentionPlugin: norm and rotate Q and K, write K and V into the cache, attend from the cache.
///
/// Decode splits the keys into chunks of a fixed size, so a model with few KV heads still fills the machine and
/// every number of threads gives the same bits.
final class AttentionPluginLaunch: Launch {
    static let entry = KernelEntry(
        op: "attention_plugin", kernel: "cpu.attention_plugin", inPlace: [1: 1]
    ) { query in
        guard query.operands[0]?.element == .f32 else { return "packed_qkv is not f32" }
        guard query.operands[1]?.element.isFloat == true else { return "the KV cache is not floating-point" }
        return nil
    }

    /// Keys of one split in decode.
    private static let keysPerSplit = 256
    /// Rows of scores, queries × heads of a group, that make a tile of the prefill kernel worth filling.
    private static let rowsPerUnit = 192

    private let kernels: UnsafePointer<apus_kernels>
    private let frame: Frame
    private let context: LaunchContext
    private var rope: apus_rope
    private var attention: apus_attention
    private let heads: Int
    private let kvHeads: Int
    private let headSize: Int
    private let queries: HugeBuffer
    private let partials: HugeBuffer
    private let partialFloats: Int
    private let splitsPerHead: Int
    private let queriesPerUnit: Int
    private let queue = WorkQueue()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        self.context = context
        kernels = context.kernels
        frame = context.frame
        heads = step.int("num_q_heads")
        kvHeads = step.int("num_kv_heads")
        headSize = step.int("head_size")
        queriesPerUnit = max(Self.rowsPerUnit * kvHeads / heads, 16)
        let cacheType = try context.type(step.operands[1])
        let table = try context.type(step.operands[3])
        let dtype = try LaunchContext.dtype(cacheType.element)
        let capacity = context.limits.capacity
        let (rotary, positions) = (table.shape[2].constant ?? 0, table.shape[1].constant ?? 0)
        let tokens = context.limits.batch * context.limits.chunk
        splitsPerHead = (capacity + Self.keysPerSplit - 1) / Self.keysPerSplit
        partialFloats = kernels.pointee.attention_partial_floats(heads, kvHeads, headSize)
        queries = try HugeBuffer(byteCount: tokens * heads * headSize * 4, purpose: "attention queries")
        partials = try HugeBuffer(
            byteCount: context.limits.batch * kvHeads * splitsPerHead * partialFloats * 4,
            purpose: "attention partials")

        let cache = try context.raw(step.operands[1])
        let headStride = capacity * headSize
        let values = cache + kvHeads * headStride * cacheType.element.byteCount
        let packed = (heads + 2 * kvHeads) * headSize
        let isShared = table.shape[0] == 1
        rope = apus_rope(
            qkv: try context.floats(step.operands[0]), ldqkv: packed,
            q: queries.base.assumingMemoryBound(to: Float.self), ldq: heads * headSize, k_cache: cache,
            v_cache: values, kv_dtype: dtype, kv_batch_stride: 2 * kvHeads * headStride,
            kv_head_stride: headStride, kv_row_stride: headSize, q_heads: heads, kv_heads: kvHeads,
            head_dim: headSize, rotary_dim: rotary, rope: try context.floats(step.operands[3]),
            rope_batch_stride: isShared ? 0 : positions * rotary,
            q_norm: try context.optionalFloats(step, 5), k_norm: try context.optionalFloats(step, 6),
            norm_eps: Float(step.float("qk_norm_eps")), positions: frame.ropePositions, slots: frame.slots,
            batches: frame.sequences)
        attention = apus_attention(
            q: queries.base.assumingMemoryBound(to: Float.self), q_batch_stride: 0, q_head_stride: headSize,
            q_token_stride: heads * headSize,
            k: cache, v: values, kv_dtype: dtype, k_batch_stride: 2 * kvHeads * headStride,
            k_head_stride: headStride, k_row_stride: headSize, v_batch_stride: 2 * kvHeads * headStride,
            v_head_stride: headStride, v_row_stride: headSize, out: try context.floats(step.results[0]),
            out_batch_stride: 0, out_head_stride: headSize, out_token_stride: heads * headSize,
            q_heads: heads, kv_heads: kvHeads,
            head_dim: headSize, start: frame.starts, length: frame.lengths, causal: 1,
            window: step.int("sliding_window_size"), scale: Float(step.float("attention_scale")),
            softcap: Float(step.float("softcap")), mask: nil, mask_batch_stride: 0, mask_head_stride: 0,
            mask_row_stride: 0, mask_key_stride: 0)
        super.init(step)
    }

    override var phaseCount: Int { 3 }

    override var scratchBytes: Int { kernels.pointee.attention_scratch_bytes(heads, kvHeads, headSize) }

    override func resize() {
        attention.q_batch_stride = frame.width * heads * headSize
        attention.out_batch_stride = frame.width * heads * headSize
    }

    override func reset() { queue.reset() }

    override func run(phase: Int, worker: Int, workers: Int) {
        switch phase {
        case 0:
            let range = share(frame.batch * frame.width, worker, workers)
            guard !range.isEmpty else { return }
            var arguments = rope
            kernels.pointee.rope_and_cache(&arguments, range.lowerBound, range.upperBound)
        case 1: frame.width == 1 ? decode(worker) : prefill(worker)
        default: if frame.width == 1 { combine(worker, workers) }
        }
    }

    /// Units of queries, the longest first, so that no worker is left alone with a long one at the end.
    private func prefill(_ worker: Int) {
        var arguments = attention
        let unitsPerRow = (frame.width + queriesPerUnit - 1) / queriesPerUnit
        let perUnit = frame.batch * kvHeads
        while true {
            let ticket = queue.take()
            guard ticket < unitsPerRow * perUnit else { return }
            let first = (unitsPerRow - 1 - ticket / perUnit) * queriesPerUnit
            let (sequence, head) = (ticket % perUnit / kvHeads, ticket % kvHeads)
            kernels.pointee.attention(
                &arguments, sequence, head, first, min(first + queriesPerUnit, frame.width),
                context.scratch[worker])
        }
    }

    /// The splits of a sequence that hold a key its new token sees.
    private func splits(of sequence: Int) -> Range<Int> {
        let length = Int(frame.lengths[sequence])
        let window = Int(attention.window)
        let first = window > 0 ? max(length - window, 0) : 0
        return first / Self.keysPerSplit..<(length + Self.keysPerSplit - 1) / Self.keysPerSplit
    }

    private func partial(_ sequence: Int, _ head: Int, _ split: Int) -> UnsafeMutablePointer<Float> {
        let index = (sequence * kvHeads + head) * splitsPerHead + split
        return partials.base.assumingMemoryBound(to: Float.self) + index * partialFloats
    }

    private func decode(_ worker: Int) {
        var arguments = attention
        var base = 0
        var ticket = queue.take()
        for sequence in 0..<frame.batch {
            let splits = splits(of: sequence)
            while ticket < base + splits.count * kvHeads {
                let split = splits.lowerBound + (ticket - base) / kvHeads
                let head = (ticket - base) % kvHeads
                let first = split * Self.keysPerSplit
                let last = min(first + Self.keysPerSplit, Int(frame.lengths[sequence]))
                kernels.pointee.attention_decode_partial(
                    &arguments, sequence, head, first, last, partial(sequence, head, split),
                    context.scratch[worker])
                ticket = queue.take()
            }
            base += splits.count * kvHeads
        }
    }

    private func combine(_ worker: Int, _ workers: Int) {
        var arguments = attention
        for unit in share(frame.batch * kvHeads, worker, workers) {
            let (sequence, head) = (unit / kvHeads, unit % kvHeads)
            let splits = splits(of: sequence)
            kernels.pointee.attention_decode_combine(
                &arguments, sequence, head, partial(sequence, head, splits.lowerBound), splits.count)
        }
    }
}
