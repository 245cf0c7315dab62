import ApusEngine
import ApusGraph

/// The plan of a pass over many tokens: products of matrices in the type of the weights.
///
///     add_rms_norm(x, linear(a, w)) → linear(a, w, residual: x), rms_norm
///
/// and what only products read is written in the type of their weights, which rounds it once, where the product would.
/// Before that, ``DecomposedAttentionFusion``.
enum PrefillFusion {
    static func fused(_ plan: Plan) -> PlanDraft {
        var draft = PlanDraft(plan)
        DecomposedAttentionFusion.apply(to: &draft)
        DecodeFusion.addResiduals(&draft, PlanUses(draft.positioned), isForFewRows: false)
        narrowInputs(&draft, PlanUses(draft.positioned))
        return draft
    }

    /// The ops whose kernels write any floating-point type, by the result that products read.
    private static let writers = [
        "rms_norm": 0, "layer_norm": 0, "add_rms_norm": 1, "add_layer_norm": 1, "swiglu": 0,
        "attention": 0, "attention_plugin": 0,
    ]

    private static func narrowInputs(_ draft: inout PlanDraft, _ uses: PlanUses) {
        // Tensors by the one whose whole memory they show, which types do not change.
        var members: [Int: [Int]] = [:]
        for index in draft.tensors.indices {
            if let root = draft.wholeRoot(index) { members[root, default: []].append(index) }
        }
        for step in draft.steps {
            guard let step, let index = writers[step.op] else { continue }
            let result = step.results[index]
            guard draft.wholeRoot(result) == result, !uses.isOutput[result], !uses.readers[result].isEmpty,
                let element = commonElement(uses, result, draft), element != .f32
            else { continue }
            for member in members[result] ?? [] { draft.retype(member, as: element) }
        }
        // What a gate reads comes straight from a product, which writes either type.
        for step in draft.steps {
            guard let step, step.op == "swiglu", let x = step.operands[0], let root = draft.wholeRoot(x),
                let maker = uses.makers[root], let product = draft.steps[maker], let place = Product(product),
                uses.readers[root].count == 1, !uses.isOutput[root], product.operand(place.bias) == nil,
                let element = factorElement(product, draft)
            else { continue }
            for member in members[root] ?? [] { draft.retype(member, as: element) }
        }
    }

    /// The type in which a product of many rows multiplies: that of its weights, or of their scales.
    private static func factorElement(_ product: Plan.Step, _ draft: PlanDraft) -> ElementType? {
        guard let place = Product(product), let weight = product.operand(place.bias == 2 ? 1 : 2) else {
            return nil
        }
        let element = draft.tensors[weight].type.element
        return place.bias > 2 && element == .f32 && product.string("activations") != "f32" ? .f16 : element
    }

    /// The type of the weights of all readers, if they are products that read the tensor as a whole.
    private static func commonElement(_ uses: PlanUses, _ root: Int, _ draft: PlanDraft) -> ElementType? {
        var common: ElementType?
        for reader in uses.readers[root] {
            guard let product = draft.steps[reader], let place = Product(product),
                let x = product.operands[0],
                draft.wholeRoot(x) == root, let element = factorElement(product, draft),
                // A quantised head has few rows, whose kernel reads FP32.
                place.bias == 2 || !product.results.contains(where: { uses.isOutput[$0] })
            else { return nil }
            guard common == nil || common == element else { return nil }
            common = element
        }
        return common
    }
}
