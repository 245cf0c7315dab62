import ApusEngine
import ApusGraph

/// The plan of a pass of one token a sequence: few kernels, each a walk over one matrix.
///
///     add_rms_norm(x, linear(a, w)) → gemv(a, w, residual: x), rms_norm
///     linear(rms_norm(x, g), w)     → gemv(x, w, norm: g)
///     swiglu(linear(a, w))          → gemv(a, w, gated)
///     gather_last_token(x)          → x: it is the only token
///
/// and the same with quantised matrices, after ``DecomposedAttentionFusion`` and ``StaticAttentionFusion``. A norm is computed anew by every block of the product after it, which costs less
/// than a launch of its own.
enum DecodeFusion {
    static func fused(_ plan: Plan) -> PlanDraft {
        var draft = PlanDraft(plan)
        DecomposedAttentionFusion.apply(to: &draft)
        StaticAttentionFusion.apply(to: &draft)
        skipGathers(&draft)
        addResiduals(&draft, PlanUses(draft.positioned), isForFewRows: true)
        foldNorms(&draft, PlanUses(draft.positioned))
        foldGates(&draft, PlanUses(draft.positioned))
        for (position, step) in draft.steps.enumerated() {
            guard let step, let product = Product(step) else { continue }
            draft.steps[position] = product.step(step, isForFewRows: true)
        }
        return draft
    }

    private static func skipGathers(_ draft: inout PlanDraft) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "gather_last_token", let x = step.operands[0],
                draft.wholeRoot(x) != nil
            else { continue }
            draft.alias(step.results[0], to: x)
            draft.steps[position] = nil
        }
    }

    /// Products whose result is only added to something do the addition themselves.
    static func addResiduals(_ draft: inout PlanDraft, _ uses: PlanUses, isForFewRows: Bool) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "add_rms_norm" || step.op == "add_layer_norm",
                let x = step.operands[0], let delta = step.operands[1], let root = draft.wholeRoot(delta),
                uses.readers[root] == [position], !uses.isOutput[root], let maker = uses.makers[root],
                let made = draft.steps[maker], let product = Product(made),
                made.operand(product.residual) == nil
            else { continue }
            let (sum, norm) = (step.results[0], step.results[1])
            draft.steps[maker] = nil
            // The product moves to where the sum is needed: what is added may be made after it.
            draft.insertions[position] = product.step(
                made, isForFewRows: isForFewRows, operands: [product.residual: x], results: [sum])
            draft.steps[position] = Plan.Step(
                op: String(step.op.dropFirst(4)), kernel: "cuda.\(step.op.dropFirst(4))",
                operands: [sum] + step.operands.dropFirst(2), results: [norm], attributes: step.attributes)
        }
        draft.applyInsertions()
    }

    /// Products whose input is a norm compute it themselves.
    private static func foldNorms(_ draft: inout PlanDraft, _ uses: PlanUses) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "rms_norm" || step.op == "layer_norm", let x = step.operands[0],
                draft.wholeRoot(x) != nil, let root = draft.wholeRoot(step.results[0]), !uses.isOutput[root]
            else { continue }
            let readers = uses.readers[root]
            let isFoldable =
                !readers.isEmpty
                && readers.allSatisfy { reader in
                    guard Product(draft.steps[reader]) != nil, let operands = draft.steps[reader]?.operands
                    else {
                        return false
                    }
                    let roots = operands.map { $0.flatMap(draft.wholeRoot) }
                    return roots.first == root && !roots.dropFirst().contains(root)
                }
            guard isFoldable else { continue }
            for reader in readers {
                guard let made = draft.steps[reader], let product = Product(made) else { continue }
                draft.steps[reader] = product.step(
                    made, isForFewRows: true,
                    operands: [
                        0: x, product.normWeight: step.operand(1), product.normBias: step.operand(2),
                    ],
                    attributes: ["norm": .string(step.op), "eps": .float(step.float("eps"))])
            }
            draft.steps[position] = nil
        }
    }

    /// Products whose result is gated write what the gate lets through.
    private static func foldGates(_ draft: inout PlanDraft, _ uses: PlanUses) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "swiglu", let x = step.operands[0], let root = draft.wholeRoot(x),
                uses.readers[root] == [position], !uses.isOutput[root], let maker = uses.makers[root],
                let made = draft.steps[maker], let product = Product(made), made.operand(product.bias) == nil,
                made.operand(product.residual) == nil,
                // Quantised matrices lie in tiles of 16 features: each half must be whole tiles.
                product.bias == 2 || (draft.tensors[step.results[0]].type.shape.last?.constant ?? 1) % 16 == 0
            else { continue }
            draft.steps[maker] = nil
            draft.steps[position] = product.step(
                made, isForFewRows: true, results: step.results, attributes: ["gated": .bool(true)])
        }
    }
}
