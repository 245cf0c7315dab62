import ApusEngine
import ApusGraph

/// All that lies between the product of q, k and v and the projection after attention, as one step.
///
///     k' = kv_update(k_cache, rope(k, cos, sin)) {start} ; v' = kv_update(v_cache, v) {start}
///     attention(rope(q, cos, sin), k'[..start + S], v'[..start + S])
///         → static_attention(q, k, v, k_cache, v_cache, cos, sin)
///
/// with the norms of q and k in front of the rotary embedding where they are, and a factor on q behind it. It is done where
/// the plan proves that the step reads and writes nothing else than these: caches that are updated in place at one row and
/// read by this attention only, and no other reader of anything between.
enum StaticAttentionFusion {
    static func apply(to draft: inout PlanDraft) {
        let uses = PlanUses(draft.positioned)
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "attention" else { continue }
            do throws(FusionRefusal) {
                let match = try StaticAttentionMatcher(position, step, draft, uses).match()
                replace(step, at: position, match, in: &draft)
                draft.notes.append("rope, kv_update, attention → \(StaticAttentionStep.op)")
            } catch {
                draft.notes.append("attention keeps its rope and its cache updates apart: \(error.reason)")
            }
        }
    }

    private static func replace(
        _ step: Plan.Step, at position: Int, _ match: StaticAttentionMatcher.Match, in draft: inout PlanDraft
    ) {
        for position in match.taken { draft.steps[position] = nil }
        let heads = [match.q, match.k].map { $0.view.map { draft.add($0) } ?? $0.tensor }
        var attributes = step.attributes
        attributes["start"] = match.start
        attributes["eps"] = .float(match.q.norm?.epsilon ?? 0)
        draft.steps[position] = Plan.Step(
            op: StaticAttentionStep.op, kernel: StaticAttentionStep.kind.entry.kernel,
            operands: heads + [match.v, match.keys.cache, match.values.cache, match.cos, match.sin]
                + [match.q.norm?.weight, match.k.norm?.weight, match.factor],
            results: [step.results[0], match.keys.updated, match.values.updated], attributes: attributes)
    }
}

/// Looks for the steps around one attention.
struct StaticAttentionMatcher {
    /// The new rows of q or k, before their norm.
    struct Head {
        /// f32 [B, H, S, D].
        let tensor: Int
        /// The form in which they are read, if that is none of the plan's.
        var view: Plan.Tensor?
        var norm: (weight: Int, epsilon: Double)?
    }

    /// A cache and its update in place.
    struct Cache {
        let cache: Int
        let updated: Int
        /// The new rows.
        let new: Int
        let start: Attribute?
        let position: Int
    }

    struct Match {
        let q, k: Head
        let v: Int
        let keys, values: Cache
        let cos, sin: Int
        let factor: Int?
        let start: Attribute
        let taken: [Int]
    }

    private let position: Int
    private let step: Plan.Step
    private let draft: PlanDraft
    private let uses: PlanUses

    init(_ position: Int, _ step: Plan.Step, _ draft: PlanDraft, _ uses: PlanUses) {
        (self.position, self.step, self.draft, self.uses) = (position, step, draft, uses)
    }

    private typealias Refusal = FusionRefusal

    private func type(_ tensor: Int) -> TensorType { draft.tensors[tensor].type }
    private func layout(_ tensor: Int) -> Layout { draft.tensors[tensor].layout }

    /// The steps that one step takes over.
    /// - Throws: Why there are none.
    func match() throws(FusionRefusal) -> Match {
        guard let q = step.operands[0], let k = step.operands[1], let v = step.operands[2] else {
            throw Refusal("it lacks an operand")
        }
        try Refusal.require(step.operand(3) == nil && step.bool("is_causal"), "it is not simply causal")
        let shape = type(q).shape
        guard let heads = shape[1].constant, let kvHeads = type(k).shape[1].constant, kvHeads > 0,
            heads % kvHeads == 0, let size = shape[3].constant, size % 8 == 0, size <= 256
        else { throw Refusal("no kernel serves its heads") }
        try Refusal.require(
            shape[2] == .symbol(Bindings.tokensSymbol) || shape[2] == 1,
            "its queries are not the new tokens")
        let y = step.results[0]
        try Refusal.require(
            layout(y) == .dense(shape) || layout(y) == .dense(shape, order: [0, 2, 1, 3]),
            "its result does not lie head by head")

        let (keys, values) = (try cache(k, queries: shape[2]), try cache(v, queries: shape[2]))
        guard keys.cache != values.cache, let start = keys.start, start == values.start,
            type(keys.cache).element == type(values.cache).element
        else { throw Refusal("its keys and values are not cached alike") }
        let scaled = try scaled(q)
        let (turnedQ, turnedK) = (try rope(scaled.tensor), try rope(keys.new))
        guard turnedQ.cos == turnedK.cos, turnedQ.sin == turnedK.sin else {
            throw Refusal("q and k turn by different angles")
        }
        try checkAngles(turnedQ.cos, turnedQ.sin, shape)
        let (headsQ, headsK) = (try head(turnedQ.x), try head(turnedK.x))
        guard (headsQ.head.norm == nil) == (headsK.head.norm == nil),
            headsQ.head.norm?.epsilon == headsK.head.norm?.epsilon
        else { throw Refusal("q and k are not normed alike") }
        try checkRows(draft.tensors[values.new])
        let read = [headsQ.head.tensor, headsK.head.tensor, values.new, turnedQ.cos, turnedQ.sin]
        for root in read.map(draft.root) {
            try Refusal.require(
                uses.writers[root].count <= 1 && root != keys.cache && root != values.cache,
                "what it reads changes in place")
        }
        return Match(
            q: headsQ.head, k: headsK.head, v: values.new, keys: keys, values: values, cos: turnedQ.cos,
            sin: turnedQ.sin, factor: scaled.factor, start: start,
            taken: [keys.position, values.position, turnedQ.position, turnedK.position, position]
                + headsQ.taken + headsK.taken + scaled.taken)
    }

    /// The cache whose rows up to the last new one a tensor is.
    private func cache(_ tensor: Int, queries: Dimension) throws(FusionRefusal) -> Cache {
        let cache = draft.root(tensor)
        guard case .input = draft.tensors[cache].storage, uses.writers[cache].count == 1,
            let position = uses.writers[cache].first, let update = draft.steps[position],
            update.op == "kv_update", let old = update.operands[0], let new = update.operands[1]
        else { throw Refusal("its keys or values are in no cache that is updated in place") }
        try Refusal.require(
            uses.readers[cache].sorted() == [position, self.position].sorted() && position < self.position,
            "a cache has other readers")
        let (start, whole) = (update.size("start"), type(cache).shape)
        guard draft.original.deviceInput(of: start) != nil else {
            throw Refusal("the first new row of a cache is not an input")
        }
        let shape = type(tensor).shape
        let isPrefix =
            shape == [whole[0], whole[1], start + queries, whole[3]] && draft.wholeRoot(old) == cache
            && type(new).shape == [whole[0], whole[1], queries, whole[3]] && type(new).element == .f32
            && layout(cache) == .dense(whole) && layout(tensor).places(shape, as: .dense(whole))
        try Refusal.require(isPrefix, "its keys or values are not the cache up to the new rows")
        return Cache(
            cache: cache, updated: update.results[0], new: new, start: update.attribute("start"),
            position: position)
    }

    /// The step that makes a tensor for one reader alone.
    private func maker(of tensor: Int, _ op: String) -> (position: Int, step: Plan.Step)? {
        guard let position = uses.makers[tensor], let step = draft.steps[position], step.op == op,
            uses.readers[tensor].count == 1, !uses.isOutput[tensor]
        else { return nil }
        return (position, step)
    }

    /// A tensor without the number that it was multiplied by.
    private func scaled(_ q: Int) throws(FusionRefusal) -> (tensor: Int, factor: Int?, taken: [Int]) {
        guard let product = maker(of: q, "mul"), product.step.operands.count == 2,
            let x = product.step.operands[0], let factor = product.step.operands[1]
        else { return (q, nil, []) }
        guard case .weight = draft.tensors[draft.root(factor)].storage, type(factor).elementCount == 1,
            type(factor).element == .f32
        else { throw Refusal("q is multiplied by more than one number") }
        return (x, factor, [product.position])
    }

    private func rope(
        _ tensor: Int
    ) throws(FusionRefusal) -> (x: Int, cos: Int, sin: Int, position: Int) {
        guard let turn = maker(of: tensor, "rope"), let x = turn.step.operands[0],
            let cos = turn.step.operands[1], let sin = turn.step.operands[2]
        else { throw Refusal("q or k does not come from a rotary embedding of its own") }
        return (x, cos, sin, turn.position)
    }

    /// Cosines and sines are rows of the new token, the same for all heads.
    private func checkAngles(_ cos: Int, _ sin: Int, _ shape: [Dimension]) throws(FusionRefusal) {
        let type = type(cos)
        let isRow =
            (2...4).contains(type.rank) && type.element == .f32 && type == self.type(sin)
            && type.shape[type.rank - 2] == shape[2] && (type.rank < 3 || type.shape[type.rank - 3] == 1)
            && (type.shape.last?.constant ?? 1) % 2 == 0 && layout(cos).strides == layout(sin).strides
            && layout(cos).hasDenseRows(type.shape)
        try Refusal.require(isRow, "its angles are not one row a token")
    }

    /// The rows that a rotary embedding turns, and their norm if there is one.
    private func head(_ turned: Int) throws(FusionRefusal) -> (head: Head, taken: [Int]) {
        let root = draft.root(turned)
        guard let norm = maker(of: root, "rms_norm") else {
            try checkRows(draft.tensors[turned])
            return (Head(tensor: turned), [])
        }
        let shape = type(turned).shape
        let tokens = [shape[0], shape[2], shape[1], shape[3]]
        guard type(root).shape == tokens, layout(root) == .dense(tokens),
            layout(turned).places(shape, as: Layout.dense(tokens).withHeadsAndRowsSwapped),
            let weight = norm.step.operand(1), type(weight) == TensorType(.f32, [shape[3]]),
            layout(weight) == .dense([shape[3]]), let x = norm.step.operands[0], type(x).shape == tokens
        else { throw Refusal("the norm of q or k is not over its heads") }
        // Kernels read it before they wait for what the pass computes.
        try Refusal.require(
            draft.tensors[draft.root(weight)].storage != .activation,
            "the norm of q or k has a computed weight")
        var (source, taken) = (x, [norm.position])
        // What the copy brought side by side is read where it was.
        if let copy = maker(of: x, "copy"), let from = copy.step.operands[0], type(from) == type(x) {
            source = from
            taken.append(copy.position)
        }
        let view = Plan.Tensor(
            name: draft.tensors[source].name, type: TensorType(.f32, shape),
            storage: .alias(draft.root(source)), layout: layout(source).withHeadsAndRowsSwapped)
        try checkRows(view)
        return (
            Head(tensor: source, view: view, norm: (weight, norm.step.float("eps"))), taken
        )
    }

    /// Up to four columns are loaded at once.
    private func checkRows(_ rows: Plan.Tensor) throws(FusionRefusal) {
        let isAligned =
            rows.type.element == .f32 && rows.layout.hasDenseRows(rows.type.shape)
            && ([rows.layout.offset] + rows.layout.strides.prefix(3)).allSatisfy { $0.isMultiple(of: 4) }
        try Refusal.require(isAligned, "the new rows do not begin at multiples of 16 bytes")
    }
}
