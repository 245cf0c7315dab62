import ApusEngine
import ApusGraph
import ApusSupport

/// Scaled dot-product attention as one kernel, straight from keys and values wherever they lie.
///
/// Queries stand at the end of the keys. The result lies token by token, as the projection after it reads it. Where
/// the number of keys is what a static cache holds after the pass, kernels read it on the device.
final class AttentionStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(
            op: "attention", kernel: "cuda.attention",
            forms: [.rows, .rows.orNarrow, .rows.orNarrow, .strided],
            resultOrder: [0, 2, 1, 3]
        ) { query in
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
            if query.operands.count > 3, let mask = query.operands[3], mask.element != .f32,
                mask.element != .bool
            {
                return "the mask \(mask) is neither f32 nor boolean"
            }
            return nil
        }
    ) { step, context throws(ApusError) in try AttentionStep(step, context) }

    private let context: DeviceContext
    private let (q, k, v): (TensorView, TensorView, TensorView)
    private let mask: TensorView?
    private let y: TensorView
    private let shape: AttentionShape
    private let counters: UnsafeMutableRawPointer
    private let isCausal: Bool
    /// The symbol of cached rows, where the keys are these and the new tokens.
    private let cached: String?

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        (q, k) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        v = try context.view(step.operands[2])
        mask = try context.optionalView(step, 3)
        y = try context.view(step.results[0])
        shape = AttentionShape(
            heads: q.type.shape[1].constant ?? 1, kvHeads: k.type.shape[1].constant ?? 1,
            size: q.type.shape[3].constant ?? 0, cache: k.element, scale: Float(step.float("scale")),
            softcap: Float(step.float("softcap")), window: step.int("sliding_window"))
        counters = try context.takeCounters(shape.counterCount(batch: try context.most(q.type.shape[0])))
        isCausal = step.bool("is_causal")
        let (keys, queries) = (k.type.shape[2], q.type.shape[2])
        cached =
            context.plan.symbols.first {
                guard case .input(Bindings.startIndex)? = $0.definition else { return false }
                return keys == Dimension.symbol($0.name) + queries
            }?.name
        super.init(step)
    }

    override var deviceSymbols: Set<String> { mask == nil ? Set([cached].compactMap { $0 }) : [] }

    override var scratchBytes: Int { shape.scratchBytes(batch: context.limits.batch, context) }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (batch, rows) = (q.size(0), q.size(2))
        guard batch > 0, rows > 0, shape.size > 0 else { return [] }
        return rows == 1 && mask == nil && canDecode
            ? [.kernel(decode(batch))] : [.kernel(general(batch, rows))]
    }

    /// Whether rows of keys and values begin where 16 bytes may be loaded at once.
    private var canDecode: Bool {
        let unit = 16 / k.element.byteCount
        func isAligned(_ view: TensorView) -> Bool {
            UInt(bitPattern: view.pointer) % 16 == 0 && (0..<3).allSatisfy { view.stride($0) % unit == 0 }
        }
        return shape.hasDecodeKernel && isAligned(k) && isAligned(v) && y.stride(1) == shape.size
    }

    /// Where kernels find the number of keys: an address, and what is added.
    private var keyCount: (address: UnsafeRawPointer?, offset: Int) {
        guard cached != nil, mask == nil, let end = context.frame.address(of: Bindings.endIndex) else {
            return (nil, k.size(2))
        }
        return (UnsafeRawPointer(end), 0)
    }

    private var strides: [Int] {
        [q, k, v, y].flatMap { view in (0..<3).map { view.stride($0) } }
    }

    private func decode(_ batch: Int) -> KernelCall {
        let split = shape.split(batch: batch, capacity: context.limits.capacity, context)
        var macros = shape.macros.merging(split.macros) { $1 }
        macros["NEWEST"] = "0"
        macros["OUT_T"] = y.element.kernelType
        let (address, offset) = keyCount
        return KernelCall(
            KernelUnit("attention_decode", macros), "attention_decode",
            grid: .init(split.count, shape.kvHeads * shape.parts, batch), block: .init(32 * split.warps),
            sharedBytes: split.sharedBytes,
            [
                .pointer(q.pointer), .pointer(k.pointer), .pointer(v.pointer), .words(strides),
                .int32(context.limits.capacity), .pointer(address), .int32(0), .int32(offset),
                .pointer(y.pointer),
                .pointer(context.scratch()), .pointer(counters), .int32(shape.window), .float(shape.scale),
                .float(shape.softcap),
            ])
    }

    private func general(_ batch: Int, _ rows: Int) -> KernelCall {
        let (address, offset) = keyCount
        let operands = AttentionOperands(
            q: UnsafeRawPointer(q.pointer), queryElement: q.element, k: UnsafeRawPointer(k.pointer),
            v: UnsafeRawPointer(v.pointer), out: UnsafeRawPointer(y.pointer), outElement: y.element,
            strides: strides,
            scaleOffset: 0, lengths: address, lengthStride: 0, starts: nil, totals: address == nil ? 0 : 1,
            batch: batch, rows: rows, keys: address == nil ? offset : context.limits.capacity,
            isCausal: isCausal,
            tree: nil)
        let mask = mask.map { mask in
            AttentionMaskOperand(
                pointer: UnsafeRawPointer(mask.pointer), element: mask.element,
                strides: (0..<4).map { mask.stride($0, broadcastTo: 4) })
        }
        return shape.call(operands, mask: mask, context)
    }
}
