import ApusGraph
import ApusSupport

/// Makes one projection of the query, key and value projections of an attention, so that the input is read once.
///
///     %q = linear(%x, %wq, %bq) ; %k = linear(%x, %wk, %bk) ; %v = linear(%x, %wv, %bv)
///     … scaled_dot_product_attention(f(%q), g(%k), h(%v))
///         →     %p = linear(%x, cat(%wq, %wk, %wv), cat(%bq, %bk, %bv))
///               %q = slice(%p, …) ; %k = slice(%p, …) ; %v = slice(%p, …)
///
/// The way from a projection to the attention may hold views, transposes, norms and rotary embeddings. A missing
/// bias beside a present one is zero. Requires the three to read the same input; what reads different inputs
/// (cross-attention) stays.
struct FuseQKV: Pass {
    let name = "fuse-qkv"

    /// Ops on the way from a projection to the attention; the data is their first operand.
    private static let steps: Set<String> = [
        "view", "transpose", "permute", "rms_norm", "layer_norm", "rope",
    ]

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        for (position, node) in graph.nodes.enumerated() where node.op == "scaled_dot_product_attention" {
            try fuse(node, at: position, editor)
        }
        graph = try editor.commit()
    }

    private func fuse(_ node: Node, at position: Int, _ editor: GraphEditor) throws(ApusError) {
        var parts: [Projection] = []
        var inputs: Set<Value> = []
        for index in 0..<3 {
            guard let operand = node.operands[index], let linear = projection(of: operand, editor),
                let x = linear.operand(0), let weight = linear.operand(1), editor.isWeight(weight)
            else { return }
            inputs.insert(x)
            parts.append(Projection(linear.node.result, weight: weight, bias: linear.operand(2)))
        }
        let results = Set(parts.map(\.result))
        guard inputs.count == 1, let x = inputs.first, results.count == 3,
            parts.allSatisfy({ $0.bias.map(editor.isWeight) ?? true })
        else { return }
        // In front of the first of the three: whatever uses any of them comes later.
        editor.anchor =
            editor.graph.nodes.prefix(position).firstIndex { results.contains($0.results[0]) } ?? position
        guard let slices = try editor.fusedLinear(x, parts, name: "qkv_proj") else { return }
        for (part, slice) in zip(parts, slices) { editor.replace(part.result, with: slice) }
    }

    private func projection(of value: Value, _ editor: GraphEditor) -> NodeView? {
        var value = value
        while let node = editor.producer(of: value), node.result == editor.resolve(value) {
            if node.op == "linear" { return NodeView(node, editor) }
            guard Self.steps.contains(node.op), let next = node.operands[0] else { return nil }
            value = next
        }
        return nil
    }
}
