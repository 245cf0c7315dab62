import ApusEngine
import ApusGraph

/// The plan of a pass of one token a sequence: few kernels, each a walk over one matrix.
///
///     add_rms_norm(x, linear(a, w)) → gemv(a, w, residual: x), rms_norm
///     linear(rms_norm(x, g), w)     → gemv(x, w, norm: g)
///     swiglu(linear(a, w))          → gemv(a, w, gated)
///     gather_last_token(x)          → x: it is the only token
///
/// A norm is computed anew by every block of the product after it, which costs less than a launch of its own.
enum DecodeFusion {
    static func fused(_ plan: Plan) -> Plan {
        var draft = PlanDraft(plan)
        skipGathers(&draft)
        var uses = PlanUses(draft.plan)
        addResiduals(&draft, uses)
        uses = PlanUses(draft.positioned)
        foldNorms(&draft, uses)
        uses = PlanUses(draft.positioned)
        foldGates(&draft, uses)
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "linear" else { continue }
            draft.steps[position] = gemv(step, operands: step.operands, results: step.results, attributes: [:])
        }
        return draft.plan
    }

    private static func skipGathers(_ draft: inout PlanDraft) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "gather_last_token", let x = step.operands[0], draft.wholeRoot(x) != nil
            else { continue }
            draft.alias(step.results[0], to: x)
            draft.steps[position] = nil
        }
    }

    /// Products whose result is only added to something do the addition themselves.
    static func addResiduals(_ draft: inout PlanDraft, _ uses: PlanUses) {
        for (position, step) in draft.steps.enumerated() {
            guard let step, step.op == "add_rms_norm" || step.op == "add_layer_norm",
                let x = step.operands[0], let delta = step.operands[1], let root = draft.wholeRoot(delta),
                uses.readers[root] == [position], !uses.isOutput[root], let maker = uses.makers[root],
                let product = draft.steps[maker], isProduct(product), product.operands.count < 4 || product.operands[3] == nil
            else { continue }
            let (sum, norm) = (step.results[0], step.results[1])
            draft.steps[maker] = nil
            // The product moves to where the sum is needed: what is added may be made after it.
            draft.insertions[position] = gemv(
                product, operands: product.paddedOperands(to: 3) + [x], results: [sum], attributes: [:])
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
            let isFoldable = !readers.isEmpty && readers.allSatisfy { reader in
                guard let product = draft.steps[reader], isProduct(product), let input = product.operands[0] else {
                    return false
                }
                return draft.wholeRoot(input) == root && !product.operands.dropFirst().contains { $0.map { draft.wholeRoot($0) == root } ?? false }
            }
            guard isFoldable else { continue }
            for reader in readers {
                guard let product = draft.steps[reader] else { continue }
                let bias: Int? = step.operands.count > 2 ? step.operands[2] : nil
                draft.steps[reader] = gemv(
                    product,
                    operands: [x] + product.paddedOperands(to: 4).dropFirst() + [step.operands[1], bias],
                    results: product.results,
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
                let product = draft.steps[maker], isProduct(product), product.paddedOperands(to: 4)[2] == nil,
                product.paddedOperands(to: 4)[3] == nil
            else { continue }
            draft.steps[maker] = nil
            draft.steps[position] = gemv(
                product, operands: product.operands, results: step.results, attributes: ["gated": .bool(true)])
        }
    }

    /// Whether a step is a product with a stored matrix, fused already or not.
    private static func isProduct(_ step: Plan.Step) -> Bool { step.op == "linear" || step.op == "gemv" }

    /// The fused form of a product: operands x, w, bias, residual, norm weight, norm bias.
    private static func gemv(
        _ product: Plan.Step, operands: [Int?], results: [Int], attributes: [String: Attribute]
    ) -> Plan.Step {
        Plan.Step(
            op: "gemv", kernel: "cuda.gemv", operands: operands, results: results,
            attributes: product.attributes.merging(attributes) { $1 })
    }
}

extension Plan.Step {
    /// The operands with absent ones behind, up to a count.
    func paddedOperands(to count: Int) -> [Int?] {
        operands + Array(repeating: nil, count: max(count - operands.count, 0))
    }
}
