import ApusEngine
import ApusGraph

/// The attention of a layer, by the plugin or over static caches, as a kernel for all layers takes it.
struct StackedAttention {
    /// What must be the same in all layers.
    struct Constants: Hashable {
        let heads, kvHeads: Int
        /// Elements of a head, and of them those that turn.
        let size, rotary: Int
        let cache: ElementType
        /// Rows of a cache.
        let capacity: Dimension
        let hasNorms: Bool
        let normEpsilon, scale: Double
        /// Whether angles come from a table.
        let hasTable: Bool
        /// The tensors of the angles.
        let angles: [Int]
        /// What tells the number of keys.
        let length: Length

        enum Length: Hashable {
            case lengths(Int)
            case start(Dimension)
        }
    }

    let constants: Constants
    /// The memory of q, k and v of the new token, side by side.
    let packed: Int
    /// A weight of one number that q is multiplied by.
    let factor: Int?

    private typealias Refusal = FusionRefusal

    /// - Throws: Why the kernel does not serve it.
    init(_ step: Plan.Step, _ plan: Plan) throws(FusionRefusal) {
        switch step.op {
        case "attention_plugin": try self.init(plugin: step, plan)
        case StaticAttentionStep.op: try self.init(cached: step, plan)
        default: throw Refusal("its attention is apart from its rotary embedding and its caches")
        }
        try Refusal.require(step.float("softcap") == 0, "its scores are capped")
    }

    private init(plugin step: Plan.Step, _ plan: Plan) throws(FusionRefusal) {
        func type(_ operand: Int) -> TensorType? { step.operand(operand).map { plan.tensors[$0].type } }
        guard let cache = type(1), cache.rank == 5, let rope = type(3), rope.rank == 3,
            let rotary = rope.shape[2].constant, let lengths = step.operand(2), let angles = step.operand(3)
        else { throw Refusal("its operands are not the plugin's") }
        try Refusal.require(step.int("sliding_window_size") == 0, "it attends within a window")
        try Refusal.require(step.operand(7) == nil && step.operand(8) == nil, "it attends to a tree")
        guard let packed = plan.wholeOfOneRow(step.operands[0]) else {
            throw Refusal("q, k and v are a part of something")
        }
        self.packed = packed
        factor = nil
        constants = Constants(
            heads: step.int("num_q_heads"), kvHeads: step.int("num_kv_heads"), size: step.int("head_size"),
            rotary: rotary, cache: cache.element, capacity: cache.shape[3],
            hasNorms: step.operand(5) != nil && step.operand(6) != nil,
            normEpsilon: step.float("qk_norm_eps"), scale: step.float("attention_scale"), hasTable: true,
            angles: [angles], length: .lengths(lengths))
    }

    private init(cached step: Plan.Step, _ plan: Plan) throws(FusionRefusal) {
        let operands = (0..<7).compactMap { step.operand($0) }
        guard operands.count == 7 else { throw Refusal("its attention lacks an operand") }
        let tensors = operands.map { plan.tensors[$0] }
        guard tensors[0].type.rank == 4, let heads = tensors[0].type.shape[1].constant,
            let kvHeads = tensors[1].type.shape[1].constant, let size = tensors[0].type.shape[3].constant,
            let rotary = tensors[5].type.shape.last?.constant
        else { throw Refusal("its heads are not constant in number and size") }
        try Refusal.require(step.int("sliding_window") == 0, "it attends within a window")
        packed = plan.root(of: operands[0])
        for (place, first) in [0, heads, heads + kvHeads].enumerated() {
            let layout = tensors[place].layout
            let isPart =
                plan.root(of: operands[place]) == packed
                && layout.offset.ofOneToken == first * size && layout.strides[1].ofOneToken == size
                && layout.strides[3].ofOneToken == 1
            try Refusal.require(isPart, "q, k and v of a token do not lie side by side")
        }
        factor = step.operand(9)
        constants = Constants(
            heads: heads, kvHeads: kvHeads, size: size, rotary: rotary, cache: tensors[3].type.element,
            capacity: tensors[3].type.shape[2],
            hasNorms: step.operand(7) != nil && step.operand(8) != nil,
            normEpsilon: step.float("eps"), scale: step.float("scale"), hasTable: false,
            angles: [operands[5], operands[6]], length: .start(step.size("start")))
    }
}

extension Plan {
    /// The tensor that owns the memory of another, if a pass of one token of one sequence sees the whole of it; nil for
    /// any other view.
    func wholeOfOneRow(_ tensor: Int?) -> Int? {
        guard let tensor else { return nil }
        let (root, view) = (root(of: tensor), tensors[tensor])
        guard root != tensor else { return root }
        var expected = 1
        guard view.layout.offset.ofOneToken == 0 else { return nil }
        for (size, stride) in zip(view.type.shape, view.layout.strides).reversed() {
            guard let size = size.ofOneToken else { return nil }
            guard size == 1 || stride.ofOneToken == expected else { return nil }
            expected *= size
        }
        return tensors[root].type.elementCount.ofOneToken == expected ? root : nil
    }
}

extension Dimension {
    /// The value in a pass of one token of one sequence; nil if it follows anything else.
    fileprivate var ofOneToken: Int? {
        evaluate { [Bindings.batchSymbol, Bindings.tokensSymbol].contains($0) ? 1 : nil }
    }
}
