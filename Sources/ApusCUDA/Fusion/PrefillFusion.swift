import ApusEngine
import ApusGraph

/// The plan of a pass over many tokens: products of matrices in the type of the weights.
///
///     add_rms_norm(x, linear(a, w)) → linear(a, w, residual: x), rms_norm
///
/// and what only products read is written in the type of their weights, which rounds it once, where the product would.
enum PrefillFusion {
    static func fused(_ plan: Plan) -> Plan {
        var draft = PlanDraft(plan)
        DecodeFusion.addResiduals(&draft, PlanUses(plan))
        for (position, step) in draft.steps.enumerated() where step?.op == "gemv" {
            guard let step else { continue }
            draft.steps[position] = Plan.Step(
                op: "linear", kernel: "cuda.linear", operands: step.operands, results: step.results,
                attributes: step.attributes)
        }
        narrowInputs(&draft, PlanUses(draft.positioned))
        return draft.plan
    }

    /// The ops whose kernels write any floating-point type, by the result that products read.
    private static let writers = ["rms_norm": 0, "layer_norm": 0, "add_rms_norm": 1, "add_layer_norm": 1, "swiglu": 0, "attention_plugin": 0]

    private static func narrowInputs(_ draft: inout PlanDraft, _ uses: PlanUses) {
        for step in draft.steps {
            guard let step, let index = writers[step.op] else { continue }
            let result = step.results[index]
            guard draft.wholeRoot(result) == result, !uses.isOutput[result], !uses.readers[result].isEmpty,
                let element = commonElement(uses.readers[result], result, draft), element != .f32
            else { continue }
            retype(result, as: element, &draft)
        }
        // What a gate reads comes straight from a product, which writes either type.
        for step in draft.steps {
            guard let step, step.op == "swiglu", let x = step.operands[0], let root = draft.wholeRoot(x),
                let maker = uses.makers[root], let product = draft.steps[maker], product.op == "linear",
                uses.readers[root].count == 1, !uses.isOutput[root], product.paddedOperands(to: 4)[2] == nil,
                let weight = product.operands[1]
            else { continue }
            retype(root, as: draft.tensors[weight].type.element, &draft)
        }
    }

    /// A tensor and all views of it in another element type.
    private static func retype(_ root: Int, as element: ElementType, _ draft: inout PlanDraft) {
        for index in draft.tensors.indices where draft.wholeRoot(index) == root { draft.retype(index, as: element) }
    }

    /// The type of the weights of all readers, if they are products that read the tensor as a whole.
    private static func commonElement(_ readers: [Int], _ root: Int, _ draft: PlanDraft) -> ElementType? {
        var common: ElementType?
        for reader in readers {
            guard let product = draft.steps[reader], product.op == "linear", let x = product.operands[0],
                draft.wholeRoot(x) == root, let weight = product.operands[1]
            else { return nil }
            let element = draft.tensors[weight].type.element
            guard common == nil || common == element else { return nil }
            common = element
        }
        return common
    }
}
