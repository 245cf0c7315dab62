import ApusEngine
import ApusGraph
import ApusSupport

/// Norms and rotary embedding of the new q and k, updates of both static caches and attention, in one launch for one new
/// token a sequence: what ``StaticAttentionFusion`` makes of these steps.
///
/// Operands: q [B, H, S, D], k and v [B, Hkv, S, D], the caches [B, Hkv, C, D], cos and sin [1 or B, 1, S, R], and if they
/// are there the norms of q and k [D] and a number that multiplies the scale. Results: the attention, the caches.
/// The first row that is written is read on the device, and one that does not fit is reported.
final class StaticAttentionStep: DeviceStep {
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
    private let shape: AttentionShape
    private let counters: UnsafeMutableRawPointer
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
        counters = try context.takeCounters(shape.counterCount(batch: try context.most(q.type.shape[0])))
        guard let start = KVUpdateStep.input(step.size("start"), context) else {
            throw ApusError(.internal, "static attention: its first new row is no i32 input")
        }
        self.start = start
        super.init(step)
    }

    override var deviceSymbols: Set<String> { [start.symbol] }

    override var scratchBytes: Int { shape.scratchBytes(batch: context.limits.batch, context) }

    override var faultReason: String { "the new rows exceed the capacity of the cache" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let batch = q.size(0)
        guard batch > 0, q.size(2) > 0 else { return [] }
        guard q.size(2) == 1 else {
            throw ApusError(.internal, "static attention of \(q.size(2)) tokens a sequence: expected one")
        }
        func heads(_ view: TensorView) -> NewestOperands.Heads {
            NewestOperands.Heads(pointer: view.pointer, batch: view.stride(0), head: view.stride(1))
        }
        let newest = NewestOperands(
            q: heads(q), k: heads(k), v: heads(v), keys: heads(keys), values: heads(values),
            angles: NewestOperands.Angles(
                cosines: cos.pointer, sines: sin.pointer, batch: cos.stride(0, broadcastTo: 4),
                rotary: cos.size(-1), tableRows: nil),
            norms: norms.map { (UnsafeRawPointer($0.q.pointer), UnsafeRawPointer($0.k.pointer)) },
            epsilon: Float(step.float("eps")), factor: factor.map { UnsafeRawPointer($0.pointer) },
            length: (start.address, 0, 1), capacity: keys.size(2),
            fault: (UnsafeRawPointer(context.fault), positions.first ?? 0), out: out.pointer,
            outElement: out.element)
        return [
            .kernel(
                shape.call(newest, batch: batch, scratch: context.scratch(), counters: counters, context))
        ]
    }
}
