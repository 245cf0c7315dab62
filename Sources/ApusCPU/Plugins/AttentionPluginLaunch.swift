import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// One AttentionPlugin: norms and rotates Q and K, writes K and V into the cache, attends from the cache.
final class AttentionPluginLaunch: CPULaunch {
    private let kernels: UnsafePointer<apus_kernels>
    private let rows: AttentionPluginRows
    private var rope: apus_rope
    private var attention: apus_attention
    private let heads: Int
    private let kvHeads: Int
    private let headSize: Int
    private let cacheElement: ElementType
    private let queries: HugeBuffer
    private let work: AttentionWork

    init(_ setup: CPUKernelSetup, _ kernels: UnsafePointer<apus_kernels>) throws(ApusError) {
        self.kernels = kernels
        heads = setup.int("num_q_heads")
        kvHeads = setup.int("num_kv_heads")
        headSize = setup.int("head_size")
        rows = try AttentionPluginRows(setup)
        let (packed, cache) = (try setup.operand(0), try setup.operand(1))
        let (batch, capacity) = (packed.maximumShape[0], cache.maximumShape[3])
        cacheElement = cache.type.element
        queries = try HugeBuffer(
            byteCount: batch * packed.maximumShape[1] * heads * headSize * 4, purpose: "attention queries")
        work = try AttentionWork(
            kernels, heads: heads, kvHeads: kvHeads, headSize: headSize, batch: batch, capacity: capacity)

        let width = heads * headSize
        let dtype = cacheElement == .i8 ? APUS_I8 : try LaunchContext.dtype(cacheElement)
        let query = queries.base.assumingMemoryBound(to: Float.self)
        rope = apus_rope()
        rope.qkv = UnsafePointer(try packed.floats())
        rope.ldqkv = width + 2 * kvHeads * headSize
        (rope.q, rope.ldq) = (query, width)
        (rope.k_cache, rope.kv_dtype) = (cache.pointer, dtype)
        (rope.q_heads, rope.kv_heads, rope.head_dim) = (heads, kvHeads, headSize)
        rope.rope = UnsafePointer(try setup.operand(3).floats())
        rope.q_norm = UnsafePointer(try setup.optional(5)?.floats())
        rope.k_norm = UnsafePointer(try setup.optional(6)?.floats())
        rope.norm_eps = Float(setup.float("qk_norm_eps"))
        rope.positions = UnsafePointer(rows.positions)
        rope.slots = UnsafePointer(rows.slots)
        rope.batches = UnsafePointer(rows.sequences)

        attention = apus_attention()
        (attention.q, attention.q_token_stride) = (UnsafePointer(query), width)
        (attention.q_head_stride, attention.out_head_stride) = (headSize, headSize)
        (attention.k, attention.kv_dtype) = (UnsafeRawPointer(cache.pointer), dtype)
        (attention.out, attention.out_token_stride) = (try setup.results[0].floats(), width)
        (attention.q_heads, attention.kv_heads, attention.head_dim) = (heads, kvHeads, headSize)
        attention.start = UnsafePointer(rows.starts)
        attention.length = UnsafePointer(rows.lengths)
        attention.causal = 1
        attention.window = setup.int("sliding_window_size")
        attention.scale = Float(setup.float("attention_scale"))
        attention.softcap = Float(setup.float("softcap"))
    }

    var phaseCount: Int { 3 }

    var scratchBytes: Int { work.scratchBytes }

    func resize(_ shapes: KernelShapes) {
        rows.resize(shapes)
        guard let cache = shapes.operands[1], let table = shapes.operands[3] else { return }
        // The codes of a head, or its numbers, and what scales there are behind them.
        let headStride = cache[3] * cache[4]
        (rope.kv_scale_offset, attention.kv_scale_offset) = (cache[3] * headSize, cache[3] * headSize)
        let values = rope.k_cache + kvHeads * headStride * cacheElement.byteCount
        rope.v_cache = values
        attention.v = UnsafeRawPointer(values)
        rope.kv_batch_stride = 2 * kvHeads * headStride
        (rope.kv_head_stride, rope.kv_row_stride) = (headStride, headSize)
        attention.k_batch_stride = rope.kv_batch_stride
        (attention.k_head_stride, attention.k_row_stride) = (headStride, headSize)
        attention.v_batch_stride = rope.kv_batch_stride
        (attention.v_head_stride, attention.v_row_stride) = (headStride, headSize)
        rope.rotary_dim = table[2]
        rope.rope_batch_stride = table[0] == 1 ? 0 : table[1] * table[2]
        attention.q_batch_stride = rows.tokens * heads * headSize
        attention.out_batch_stride = rows.tokens * heads * headSize
    }

    func prepare() throws(ApusError) {
        try rows.prepare()
        let isTree = rows.phase == .tree
        attention.tree = isTree ? UnsafePointer(rows.tree) : nil
        attention.tree_positions = isTree ? UnsafePointer(rows.positions) : nil
        (attention.tree_tokens, attention.tree_words) = (rows.tokens, rows.words)
        work.reset()
    }

    func run(_ worker: CPUWorker) {
        switch worker.phase {
        case 0:
            let range = worker.share(of: rows.batch * rows.tokens)
            guard !range.isEmpty else { return }
            var arguments = rope
            kernels.pointee.rope_and_cache(&arguments, range.lowerBound, range.upperBound)
        case 1:
            work.attend(
                attention, batch: rows.batch, tokens: rows.tokens, workers: worker.count,
                scratch: worker.scratch)
        default:
            work.combine(
                attention, batch: rows.batch, tokens: rows.tokens, worker: worker.index, workers: worker.count
            )
        }
    }
}
