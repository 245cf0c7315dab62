import ApusEngine
import ApusGraph
import ApusSupport

/// The AttentionPlugin on a GPU: one launch for a single new token a sequence, two for more and for heads that the
/// kernel of single tokens does not serve.
final class AttentionPluginStep: DeviceStep, NewestAttention {
    static let kind = StepKind(
        KernelEntry(op: "attention_plugin", kernel: "cuda.attention_plugin", inPlace: [1: 1]) { query in
            guard query.operands[0]?.element == .f32 else { return "packed_qkv is not f32" }
            guard let cache = query.operands[1]?.element, cache.isFloat || cache == .i8 else {
                return "the KV cache is neither floating-point nor i8"
            }
            for norm in query.operands.dropFirst(5).prefix(2) where norm.map({ $0.element != .f32 }) == true {
                return "the norm of q and k is not f32"
            }
            return nil
        }
    ) { step, context throws(ApusError) in try AttentionPluginStep(step, context) }

    private let context: DeviceContext
    private let qkv: TensorView
    private let cache: TensorView
    private let lengths: TensorView
    private let rope: TensorView
    private let starts: TensorView
    private let norms: (q: TensorView, k: TensorView)?
    private let tree: (bits: TensorView, positions: TensorView)?
    private let out: TensorView
    let shape: AttentionShape
    private let mostTokens: Int
    private let counters: UnsafeMutableRawPointer

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        qkv = try context.view(step.operands[0])
        cache = try context.view(step.operands[1])
        lengths = try context.view(step.operands[2])
        rope = try context.view(step.operands[3])
        starts = try context.view(step.operands[4])
        if let q = try context.optionalView(step, 5), let k = try context.optionalView(step, 6) {
            norms = (q, k)
        } else {
            norms = nil
        }
        if let bits = try context.optionalView(step, 7), let positions = try context.optionalView(step, 8) {
            tree = (bits, positions)
        } else {
            tree = nil
        }
        out = try context.view(step.results[0])
        shape = AttentionShape(
            heads: step.int("num_q_heads"), kvHeads: step.int("num_kv_heads"), size: step.int("head_size"),
            cache: cache.element, scale: Float(step.float("attention_scale")),
            softcap: Float(step.float("softcap")), window: step.int("sliding_window_size"))
        let batch = try context.most(qkv.type.shape[0])
        mostTokens = batch * (try context.most(qkv.type.shape[1]))
        counters = try context.takeCounters(shape.counterCount(batch: batch))
        super.init(step)
    }

    override var scratchBytes: Int {
        max(
            mostTokens * shape.heads * shape.size * shape.queryElement(isTree: tree != nil).byteCount,
            shape.scratchBytes(batch: context.limits.batch, context))
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (batch, tokens) = (qkv.size(0), qkv.size(1))
        guard batch > 0, tokens > 0 else { return [] }
        guard tokens == 1, tree == nil, shape.hasDecodeKernel else { return try chunk(batch, tokens) }
        return [.kernel(shape.decode(newest, decode, batch: batch, context))]
    }

    private var capacity: Int { cache.size(3) }

    var newest: NewestOperands { newest(1) }

    /// The new rows of a pass, and the cache: K of all heads, then V.
    private func newest(_ tokens: Int) -> NewestOperands {
        let (heads, kvHeads, size) = (shape.heads, shape.kvHeads, shape.size)
        let row = AttentionCacheRows.size(shape.cache, headSize: size)
        let plane = kvHeads * capacity * row
        let width = (heads + 2 * kvHeads) * size
        func new(_ head: Int) -> NewestOperands.Heads {
            NewestOperands.Heads(
                pointer: qkv.pointer + head * size * qkv.element.byteCount, batch: tokens * width, head: size,
                row: width)
        }
        func cached(_ offset: Int) -> NewestOperands.Heads {
            NewestOperands.Heads(
                pointer: cache.pointer + offset * shape.cache.byteCount, batch: 2 * plane,
                head: capacity * row)
        }
        let (rows, rotary) = (rope.size(1), rope.size(2))
        return NewestOperands(
            q: new(0), k: new(heads), v: new(heads + kvHeads), keys: cached(0), values: cached(plane),
            angles: NewestOperands.Angles(
                cosines: rope.pointer, sines: rope.pointer + rotary / 2 * rope.element.byteCount,
                batch: rope.size(0) == 1 ? 0 : rows * rotary, row: rotary, rotary: rotary, tableRows: rows),
            norms: norms.map { (UnsafeRawPointer($0.q.pointer), UnsafeRawPointer($0.k.pointer)) },
            epsilon: Float(step.float("qk_norm_eps")), factor: nil, capacity: capacity)
    }

    var decode: DecodeOperands {
        DecodeOperands(
            length: (UnsafeRawPointer(lengths.pointer), 1, 0), fault: nil, out: out.pointer,
            outElement: out.element, scratch: context.scratch(), counters: counters)
    }

    /// Rotates and caches the new tokens, then attends.
    private func chunk(_ batch: Int, _ tokens: Int) throws(ApusError) -> [DeviceWork] {
        let (heads, kvHeads, size) = (shape.heads, shape.kvHeads, shape.size)
        let ownTree = tree?.positions.size(1) == tokens ? tree : nil
        // A tree, and every step of one token, gives the KV length after the step.
        let totals = ownTree != nil || tokens == 1 ? 1 : 0
        let startPointer: UnsafeRawPointer? = starts.count == 0 ? nil : UnsafeRawPointer(starts.pointer)
        let spans = NewestSpans(
            lengths: lengths.pointer, starts: startPointer, totals: totals, keys: capacity,
            positions: ownTree.map { UnsafeRawPointer($0.positions.pointer) })
        let queryElement = shape.queryElement(isTree: ownTree != nil)
        let rotate = shape.rotate(
            newest(tokens), spans, batch: batch, tokens: tokens, queries: context.scratch(), queryElement,
            context)
        let row = AttentionCacheRows.size(shape.cache, headSize: size)
        let keys = AttentionOperands(
            q: UnsafeRawPointer(context.scratch()), queryElement: queryElement,
            k: UnsafeRawPointer(cache.pointer),
            v: UnsafeRawPointer(cache.pointer + kvHeads * capacity * row * shape.cache.byteCount),
            out: out.pointer,
            outElement: out.element,
            strides: [
                tokens * heads * size, size, heads * size, 2 * kvHeads * capacity * row, capacity * row, size,
                2 * kvHeads * capacity * row, capacity * row, size, tokens * heads * size, size, heads * size,
            ],
            scaleOffset: capacity * size, lengths: UnsafeRawPointer(lengths.pointer), lengthStride: 1,
            starts: startPointer, totals: totals, batch: batch, rows: tokens, keys: capacity, isCausal: true,
            tree: ownTree.map {
                (UnsafeRawPointer($0.bits.pointer), UnsafeRawPointer($0.positions.pointer))
            })
        return [.kernel(rotate), .kernel(shape.call(keys, mask: nil, context))]
    }
}
