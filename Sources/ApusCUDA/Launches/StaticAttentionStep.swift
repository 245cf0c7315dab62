import ApusEngine
import ApusGraph
import ApusSupport

/// Norms and rotary embedding of the new q and k, updates of both static caches and attention, in one launch for one new
/// token a sequence and two for more: what ``StaticAttentionFusion`` makes of these steps.
///
/// Operands: q [B, H, S, D], k and v [B, Hkv, S, D], the caches [B, Hkv, C, D], cos and sin [1 or B, 1, S, R], and if they
/// are there the norms of q and k [D] and a number that multiplies the scale. Results: the attention, the caches.
/// For one token the first row that is written is read on the device, and one that does not fit is reported.
final class StaticAttentionStep: DeviceStep, NewestAttention {
    static let op = "static_attention"

    static let kind = StepKind(
        KernelEntry(op: op, kernel: "cuda.\(op)", inPlace: [1: 3, 2: 4])
    ) { step, context throws(ApusError) in try StaticAttentionStep(step, context) }

    private let context: DeviceContext
    private let (q, k, v): (TensorView, TensorView, TensorView)
    private let (keys, values): (TensorView, TensorView)
    private let (cos, sin): (TensorView, TensorView)
    private let norms: (q: TensorView, k: TensorView)?
    private let factor: TensorView?
    private let out: TensorView
    let shape: AttentionShape
    private let counters: UnsafeMutableRawPointer
    private let mostTokens: Int
    private let startRow: Size
    /// The symbol that is the first new row, and the i32 input that gives its value.
    private let start: (symbol: String, address: UnsafeRawPointer)

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        (q, k) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        (v, keys) = (try context.view(step.operands[2]), try context.view(step.operands[3]))
        (values, cos) = (try context.view(step.operands[4]), try context.view(step.operands[5]))
        sin = try context.view(step.operands[6])
        if let q = try context.optionalView(step, 7), let k = try context.optionalView(step, 8) {
            norms = (q, k)
        } else {
            norms = nil
        }
        factor = try context.optionalView(step, 9)
        out = try context.view(step.results[0])
        shape = AttentionShape(
            heads: q.type.shape[1].constant ?? 1, kvHeads: k.type.shape[1].constant ?? 1,
            size: q.type.shape[3].constant ?? 0, cache: keys.element, scale: Float(step.float("scale")),
            softcap: Float(step.float("softcap")), window: step.int("sliding_window"))
        let batch = try context.most(q.type.shape[0])
        mostTokens = batch * (try context.most(q.type.shape[2]))
        startRow = try context.size(step.size("start"))
        counters = try context.takeCounters(shape.counterCount(batch: batch))
        guard let start = KVUpdateStep.input(step.size("start"), context) else {
            throw ApusError(.internal, "static attention: its first new row is no i32 input")
        }
        self.start = start
        super.init(step)
    }

    override var deviceSymbols: Set<String> { context.kind == .decode ? [start.symbol] : [] }

    override var scratchBytes: Int {
        max(
            mostTokens * shape.heads * shape.size * shape.queryElement(isTree: false).byteCount,
            shape.scratchBytes(batch: context.limits.batch, context))
    }

    override var faultReason: String { "the new rows exceed the capacity of the cache" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (batch, tokens) = (q.size(0), q.size(2))
        guard batch > 0, tokens > 0 else { return [] }
        guard tokens == 1 else { return try chunk(batch, tokens) }
        return [.kernel(shape.decode(newest, decode, batch: batch, context))]
    }

    var newest: NewestOperands {
        func heads(_ view: TensorView) -> NewestOperands.Heads {
            NewestOperands.Heads(
                pointer: view.pointer, batch: view.stride(0), head: view.stride(1), row: view.stride(2))
        }
        return NewestOperands(
            q: heads(q), k: heads(k), v: heads(v), keys: heads(keys), values: heads(values),
            angles: NewestOperands.Angles(
                cosines: cos.pointer, sines: sin.pointer, batch: cos.stride(0, broadcastTo: 4),
                row: cos.stride(-2), rotary: cos.size(-1), tableRows: nil),
            norms: norms.map { (UnsafeRawPointer($0.q.pointer), UnsafeRawPointer($0.k.pointer)) },
            epsilon: Float(step.float("eps")), factor: factor.map { UnsafeRawPointer($0.pointer) },
            capacity: keys.size(2))
    }

    var decode: DecodeOperands {
        DecodeOperands(
            length: (start.address, 0, 1), fault: (UnsafeRawPointer(context.fault), positions.first ?? 0),
            out: out.pointer, outElement: out.element, scratch: context.scratch(), counters: counters)
    }

    /// Rotates and caches the new tokens, then attends; the place among the keys is that of this pass.
    private func chunk(_ batch: Int, _ tokens: Int) throws(ApusError) -> [DeviceWork] {
        let (first, capacity) = (context.symbols.value(startRow), keys.size(2))
        guard first >= 0, first + tokens <= capacity else {
            throw ApusError(
                .invalidInput,
                "static attention: \(tokens) rows from \(first) on exceed the cache of \(capacity)")
        }
        let spans = NewestSpans(
            lengths: nil, starts: nil, totals: 0, keys: first + tokens, positions: nil)
        let queryElement = shape.queryElement(isTree: false)
        let rotate = shape.rotate(
            newest, spans, batch: batch, tokens: tokens, queries: context.scratch(), queryElement, context)
        let (heads, size) = (shape.heads, shape.size)
        let operands = AttentionOperands(
            q: UnsafeRawPointer(context.scratch()), queryElement: queryElement,
            k: UnsafeRawPointer(keys.pointer), v: UnsafeRawPointer(values.pointer),
            out: UnsafeRawPointer(out.pointer), outElement: out.element,
            strides: [tokens * heads * size, size, heads * size]
                + [keys, values, out].flatMap { view in (0..<3).map { view.stride($0) } },
            scaleOffset: 0, lengths: nil, lengthStride: 0, starts: nil, totals: 0, batch: batch, rows: tokens,
            keys: first + tokens, isCausal: true, tree: nil)
        return [.kernel(rotate), .kernel(shape.call(operands, mask: nil, context))]
    }
}
