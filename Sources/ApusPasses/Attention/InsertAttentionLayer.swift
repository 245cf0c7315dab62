import ApusGraph
import ApusSupport

/// Computes every attention in one fused kernel.
///
///     %y = scaled_dot_product_attention(%q, %k, %v, %mask) {is_causal, scale, …}
///         →     %y = attention(%q, %k, %v, %mask) {is_causal, scale, …}
///
/// Operands and attributes mean the same: causal (also over longer keys), window, softcap, or a mask tensor.
struct InsertAttentionLayer: Pass {
    let name = "insert-attention-layer"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        var layer = 0
        for position in graph.nodes.indices
        where graph.nodes[position].op == "scaled_dot_product_attention" {
            let view = NodeView(graph.nodes[position], editor)
            graph.nodes[position].op = "attention"
            notes.attention.append(notes.report(layer, view, kernel: "attention"))
            layer += 1
        }
    }
}
