import ApusEngine
import ApusGraph

/// Attention that was written out becomes one step again, where the plan proves it to be causal.
///
///     s = matmul(q, kᵀ) ; m = causal_mask(queries, keys, offset: keys − queries, window) ; p = softmax(s + m)
///     matmul(p, v), copy       → attention(q, k, v, scale: 1), token by token as the copy has it
///
/// Query heads that share a key head may be rows of one product. Scores, mask and weights are never in memory, and the
/// kernels read the number of keys on the device. Numbers are the same but for the order of sums and, in prompts, for the
/// types that tensor cores multiply. The factor on q stays a step. What reads any tensor between keeps all steps.
enum DecomposedAttentionFusion {
    static func apply(to draft: inout PlanDraft) {
        let uses = PlanUses(draft.positioned)
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "softmax", let scores = step.operands[0] else { continue }
            do throws(FusionRefusal) {
                guard let match = try Match(position, step, scores, draft, uses) else { continue }
                match.replace(in: &draft)
                draft.notes.append("q·kᵀ, causal mask, softmax, p·v → attention")
            } catch {
                draft.notes.append("attention stays written out: \(error.reason)")
            }
        }
        dropMasks(&draft)
    }

    /// Masks that no step reads any more.
    private static func dropMasks(_ draft: inout PlanDraft) {
        let uses = PlanUses(draft.positioned)
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "causal_mask", let mask = step.results.first,
                uses.readers[mask].isEmpty,
                !uses.isOutput[mask]
            else { continue }
            draft.steps[position] = nil
        }
    }
}

/// The steps of one attention and what they read.
private struct Match {
    let q, k, v: Plan.Tensor
    /// Positions of the steps that are taken over.
    let taken: [Int]
    /// The last of them that computes, where attention will stand.
    let place: Int
    /// Its result, which may be a view of heads as rows.
    let result: Int
    /// The copy that brings the result into the order of tokens: position and result.
    let copy: (position: Int, result: Int)?
    /// f32 [B, H, S, D].
    let shape: [Dimension]
    let window: Int

    /// - Returns: Nil for a softmax that is no attention's.
    init?(
        _ position: Int, _ step: Plan.Step, _ scores: Int, _ draft: PlanDraft, _ uses: PlanUses
    ) throws(FusionRefusal) {
        let tensors = draft.tensors
        /// The step that makes the memory that a tensor is the whole of, and the position.
        func maker(of tensor: Int?, _ ops: String...) -> (position: Int, step: Plan.Step, root: Int)? {
            guard let tensor, let root = draft.wholeRoot(tensor), let position = uses.makers[root],
                let step = draft.steps[position], ops.contains(step.op)
            else { return nil }
            return (position, step, root)
        }
        func makesScores(_ tensor: Int?) -> Bool {
            maker(of: tensor, "matmul") != nil
                || maker(of: tensor, "mul").map { maker(of: $0.step.operands[0], "tanh") != nil } == true
        }
        guard let masked = maker(of: scores, "add"), masked.step.operands.count == 2 else {
            guard makesScores(scores) else { return nil }
            throw FusionRefusal("its scores have no mask")
        }
        let sides = masked.step.operands
        guard let side = sides.firstIndex(where: { makesScores($0) }), let unmasked = sides[side],
            let hiding = sides[1 - side]
        else { return nil }
        try FusionRefusal.require(
            maker(of: unmasked, "matmul") != nil,
            "its scores are capped by a number that the plan does not tell")
        guard let product = maker(of: unmasked, "matmul"), let rows = product.step.operands[0],
            let columns = product.step.operands[1]
        else { return nil }
        guard let mask = maker(of: hiding, "causal_mask"), mask.root == hiding else {
            throw FusionRefusal("its mask is not computed as a causal one")
        }
        let soft = step.results[0]
        guard uses.readers[soft].count == 1, let place = uses.readers[soft].first,
            let last = draft.steps[place],
            last.op == "matmul", let weights = last.operands[0], draft.wholeRoot(weights) == soft,
            let values = last.operands[1]
        else { throw FusionRefusal("its weights are not only multiplied with values") }
        result = last.results[0]
        for tensor in [product.root, masked.root, soft] {
            try FusionRefusal.require(
                uses.readers[tensor].count == 1 && !uses.isOutput[tensor],
                "what lies between its steps is read")
        }

        // Sizes: scores [B, H, S, T], keys and values [B, Hkv, T, D].
        let (all, keys) = (tensors[scores].type.shape, tensors[values].type.shape)
        guard all.count == 4, keys.count == 4, let heads = all[1].constant, let kvHeads = keys[1].constant,
            kvHeads > 0, heads % kvHeads == 0, keys[3].constant != nil
        else { throw FusionRefusal("its heads are not constant in number and size") }
        let dim = step.int("dim")
        shape = [all[0], all[1], all[2], keys[3]]
        let grouped = [all[0], keys[1], Dimension(heads / kvHeads) * all[2], keys[3]]
        let isExpected =
            (dim == 3 || dim == -1) && tensors[soft].type.shape == all && keys[0] == all[0]
            && keys[2] == all[3]
            && tensors[columns].type.shape == [all[0], keys[1], keys[3], keys[2]]
            && tensors[rows].type.shape == grouped && tensors[result].type.shape == grouped
            && tensors[result].layout == .dense(grouped) && tensors[result].storage == .activation
        try FusionRefusal.require(isExpected, "its shapes are not those of attention over groups of heads")
        let (queries, count) = (all[2], all[3])
        try FusionRefusal.require(
            mask.step.size("queries") == queries && mask.step.size("keys") == count
                && mask.step.size("offset") == count - queries, "its queries are not the last of the keys")
        window = mask.step.int("window")

        guard let layout = tensors[rows].layout.reshaped(grouped, to: shape) else {
            throw FusionRefusal("its queries do not lie head by head")
        }
        /// The same memory in another form.
        func view(_ tensor: Int, _ shape: [Dimension], _ layout: Layout) -> Plan.Tensor {
            Plan.Tensor(
                name: tensors[tensor].name, type: TensorType(tensors[tensor].type.element, shape),
                storage: .alias(draft.root(tensor)), layout: layout)
        }
        q = view(rows, shape, layout)
        k = view(columns, keys, tensors[columns].layout.permuted([0, 1, 3, 2]))
        v = view(values, keys, tensors[values].layout)
        let query = KernelQuery(
            op: "attention", operands: [q.type, k.type, v.type, nil],
            results: [TensorType(.f32, shape)], attributes: [:])
        if let refusal = AttentionStep.kind.entry.refusal(query) { throw FusionRefusal(refusal) }
        for tensor in [q, k, v] {
            try FusionRefusal.require(
                tensor.layout.hasDenseRows(tensor.type.shape), "columns of q, k or v do not lie side by side")
        }
        for root in [rows, columns, values].map(draft.root) {
            let touches = uses.writers[root].contains { $0 > product.position && $0 < place }
            try FusionRefusal.require(!touches, "what it reads changes between its steps")
        }
        taken = [product.position, masked.position, position, place]
        self.place = place
        copy = Self.copy(of: result, shape, draft, uses)
    }

    /// The copy that alone reads the result, if it brings heads of a token side by side.
    private static func copy(
        of result: Int, _ shape: [Dimension], _ draft: PlanDraft, _ uses: PlanUses
    ) -> (position: Int, result: Int)? {
        let tokens = [shape[0], shape[2], shape[1], shape[3]]
        guard uses.readers[result].count == 1, !uses.isOutput[result],
            let position = uses.readers[result].first,
            let step = draft.steps[position], step.op == "copy", let x = step.operands[0]
        else { return nil }
        let (from, to) = (draft.tensors[x], draft.tensors[step.results[0]])
        guard from.type == TensorType(.f32, tokens), to.type == from.type, to.storage == .activation,
            to.layout == .dense(tokens),
            from.layout.places(tokens, as: Layout.dense(shape).withHeadsAndRowsSwapped)
        else { return nil }
        return (position, step.results[0])
    }

    /// Puts an attention in the place of the steps.
    func replace(in draft: inout PlanDraft) {
        for position in taken { draft.steps[position] = nil }
        let operands = [q, k, v].map { draft.operand($0) }
        let type = TensorType(.f32, shape)
        var output = result
        if let copy {
            output = draft.add(
                Plan.Tensor(
                    name: draft.tensors[result].name, type: type, storage: .activation,
                    layout: .dense(shape, order: [0, 2, 1, 3])))
            draft.alias(copy.result, to: output)
            draft.steps[copy.position] = nil
        } else if draft.tensors[result].type != type {
            output = draft.add(
                Plan.Tensor(name: draft.tensors[result].name, type: type, storage: .alias(result)))
        }
        draft.steps[place] = Plan.Step(
            op: "attention", kernel: AttentionStep.kind.entry.kernel, operands: operands + [nil],
            results: [output],
            attributes: [
                "is_causal": .bool(true), "scale": .float(1), "softcap": .float(0),
                "sliding_window": .int(window),
            ])
    }
}

extension PlanDraft {
    /// A view of an owner of memory, or that owner where it has the same form.
    fileprivate mutating func operand(_ view: Plan.Tensor) -> Int {
        guard case .alias(let owner) = view.storage, tensors[owner].type == view.type,
            tensors[owner].layout == view.layout
        else { return add(view) }
        return owner
    }
}
