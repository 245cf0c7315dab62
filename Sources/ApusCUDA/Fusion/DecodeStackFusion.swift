import ApusEngine
import ApusGraph

/// All layers of a decode step, which one kernel walks.
struct DecodeStack {
    /// Positions in the plan of the steps of a layer.
    struct Layer {
        let qkv, attention, projection, gate, down: Int

        var positions: [Int] { [qkv, attention, projection, gate, down] }
    }

    let layers: [Layer]
    let shape: DecodeStackShape
    /// Positions of all steps.
    let positions: Range<Int>
    /// What the first layer reads, what the last one writes.
    let x, y: Int
    /// Weights of one number that q is multiplied by, one a layer or none.
    let factors: [Int]
}

/// The layers of a decode step as one kernel, in plans that ``DecodeFusion`` has fused.
///
///     gemv(x, w, bias, norm) → attention_plugin or static_attention → gemv(a, w, residual: x) = m
///     gemv(m, w, norm, gated) → gemv(h, w, residual: m) = x of the next layer
///
/// It is done where all attentions of the plan are in layers of this form, alike in sizes, types and constants, one
/// behind the other with nothing between, and nothing else reads what lies inside. The plan stays as it is: passes of
/// several sequences take the steps one by one.
enum DecodeStackFusion {
    /// - Returns: Nil for a plan with fewer than two attentions: there is nothing to gain.
    static func find(
        in plan: Plan, for architecture: CUDAArchitecture
    ) -> Result<DecodeStack, FusionRefusal>? {
        let attentions = plan.steps.indices.filter {
            ["attention_plugin", StaticAttentionStep.op, "attention"].contains(plan.steps[$0].op)
        }
        guard attentions.count > 1 else { return nil }
        return Result { () throws(FusionRefusal) in
            try match(attentions, DecodeStackMatcher(plan), for: architecture)
        }
    }

    private static func match(
        _ attentions: [Int], _ matcher: DecodeStackMatcher, for architecture: CUDAArchitecture
    ) throws(FusionRefusal) -> DecodeStack {
        var layers: [DecodeStackMatcher.Match] = []
        for (index, position) in attentions.enumerated() {
            do throws(FusionRefusal) {
                let layer = try matcher.match(position)
                if let first = layers.first, let last = layers.last {
                    try FusionRefusal.require(
                        layer.constants == first.constants,
                        "its sizes, types, constants or angles are not those of layer 0")
                    try matcher.requireChain(last, layer)
                }
                layers.append(layer)
            } catch {
                throw FusionRefusal("layer \(index): \(error.reason)")
            }
        }
        guard let first = layers.first, let last = layers.last else { throw FusionRefusal("there are none") }
        let shape = try DecodeStackShape(
            first.constants.layer, layerCount: layers.count, for: architecture)
        let positions = layers.flatMap(\.layer.positions)
        let range = first.layer.qkv..<last.layer.down + 1
        try FusionRefusal.require(positions == Array(range), "other steps stand between theirs")
        return DecodeStack(
            layers: layers.map(\.layer), shape: shape, positions: range, x: first.x, y: last.y,
            factors: layers.compactMap(\.factor))
    }
}

/// Looks for the steps around one attention.
struct DecodeStackMatcher {
    /// What must be the same in all layers.
    struct Constants: Hashable {
        let layer: DecodeStackShape.Layer
        let normEpsilon: Double
        let attention: StackedAttention.Constants
    }

    /// A layer and the tensors before and behind it.
    struct Match {
        let layer: DecodeStack.Layer
        let x, y: Int
        let constants: Constants
        let factor: Int?
    }

    private let plan: Plan
    private let uses: PlanUses

    init(_ plan: Plan) {
        self.plan = plan
        uses = PlanUses(plan)
    }

    private typealias Refusal = FusionRefusal

    /// The layer of an attention.
    /// - Throws: Why its steps are not those of a layer.
    func match(_ position: Int) throws(FusionRefusal) -> Match {
        let attention = try StackedAttention(plan.steps[position], plan)
        let packed = attention.packed
        guard let maker = uses.makers[packed] else { throw Refusal("q, k and v come from no product") }
        let qkv = try product(maker, "q, k and v", isNormed: true)
        try requireReaders(of: packed, [position], "q, k or v")

        let out = plan.root(of: plan.steps[position].results[0])
        guard let reader = uses.readers[out].first else { throw Refusal("nothing reads its attention") }
        let projection = try product(reader, "the projection after attention", hasResidual: true)
        try requireReaders(of: out, [reader], "its attention")
        try Refusal.require(projection.x == out, "the projection reads no attention as a whole")
        try Refusal.require(projection.residual == qkv.x, "attention is not added to what the layer reads")

        let middle = projection.y
        guard let gate = uses.readers[middle].min(), let down = uses.readers[middle].max() else {
            throw Refusal("nothing reads what attention is added to")
        }
        try requireReaders(of: middle, [gate, down], "what attention is added to")
        let (gated, second) = (
            try product(gate, "the gated product", isNormed: true, isGated: true),
            try product(down, "the product behind the gate", hasResidual: true)
        )
        try requireReaders(of: gated.y, [down], "what the gate lets through")
        try Refusal.require(
            gated.x == middle && second.x == gated.y && second.residual == middle,
            "its second half is no gated product and its projection")
        try Refusal.require(gated.epsilon == qkv.epsilon, "its two norms have different eps")

        let heads = attention.constants
        let width = (heads.heads + 2 * heads.kvHeads) * heads.size
        let inner = second.k
        try Refusal.require(
            qkv.n == width && projection.k == heads.heads * heads.size && projection.n == qkv.k
                && gated.k == qkv.k && gated.n == 2 * inner && second.n == qkv.k
                && Set([qkv, projection, gated, second].map(\.element)).count == 1,
            "its matrices do not fit together")
        return Match(
            layer: DecodeStack.Layer(
                qkv: maker, attention: position, projection: reader, gate: gate, down: down),
            x: qkv.x, y: second.y,
            constants: Constants(
                layer: DecodeStackShape.Layer(
                    hidden: qkv.k, inner: inner, heads: heads.heads, kvHeads: heads.kvHeads,
                    headSize: heads.size, rotary: heads.rotary, weight: qkv.element, cache: heads.cache,
                    hasBias: qkv.hasBias, hasNorms: heads.hasNorms, hasTable: heads.hasTable),
                normEpsilon: qkv.epsilon, attention: heads),
            factor: attention.factor)
    }

    /// One layer reads what the one before it writes, and nothing else does.
    func requireChain(_ first: Match, _ second: Match) throws(FusionRefusal) {
        try Refusal.require(first.y == second.x, "it does not read what the layer before it writes")
        try requireReaders(
            of: first.y, [second.layer.qkv, second.layer.projection], "what the layer before it writes")
    }

    private func requireReaders(
        of root: Int, _ readers: Set<Int>, _ name: String
    ) throws(FusionRefusal) {
        try Refusal.require(
            Set(uses.readers[root]) == readers && uses.writers[root].count == 1 && !uses.isOutput[root],
            "\(name) has other readers")
    }

    /// A product of one row: the memory that it reads and writes, and its matrix.
    private struct Found {
        let x, y: Int
        let residual: Int?
        let n, k: Int
        let element: ElementType
        let hasBias: Bool
        let epsilon: Double
    }

    /// The product at a position, with or without its norm, gate and residual; only one with a norm may have a bias.
    private func product(
        _ position: Int, _ name: String, isNormed: Bool = false, isGated: Bool = false,
        hasResidual: Bool = false
    ) throws(FusionRefusal) -> Found {
        let step = plan.steps[position]
        guard step.op == "gemv", let w = step.operand(1) else {
            throw Refusal("\(name): no product with a floating-point matrix, but \(step.op)")
        }
        let (bias, norm) = (step.operand(2), step.operand(4))
        try Refusal.require(
            (norm != nil) == isNormed && step.bool("gated") == isGated
                && (step.operand(3) != nil) == hasResidual && (bias == nil || (isNormed && !isGated)),
            "\(name): a norm, gate, bias or residual too many or too few")
        if norm != nil {
            try Refusal.require(
                step.string("norm") == "rms_norm" && step.operand(5) == nil, "\(name): no RMS norm before it")
        }
        for constant in [w, bias, norm] {
            guard let constant else { continue }
            guard case .weight = plan.tensors[plan.root(of: constant)].storage else {
                throw Refusal("\(name): the pass computes its weights")
            }
        }
        let shape = plan.tensors[w].type.shape
        guard shape.count == 2, let n = shape[0].constant, let k = shape[1].constant,
            let x = plan.wholeOfOneRow(step.operands[0]), let y = plan.wholeOfOneRow(step.results[0])
        else { throw Refusal("\(name): what it reads or writes is a part of something") }
        return Found(
            x: x, y: y, residual: step.operand(3).flatMap { plan.wholeOfOneRow($0) }, n: n, k: k,
            element: plan.tensors[w].type.element, hasBias: bias != nil,
            epsilon: isNormed ? step.float("eps") : 0)
    }
}
