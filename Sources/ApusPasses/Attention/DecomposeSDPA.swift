import ApusGraph
import ApusSupport

/// Writes every attention out: matmul, generated mask, softmax, matmul.
///
///     %y = scaled_dot_product_attention(%q, %k, %v) {is_causal = true, scale}
///         →     %s = matmul(mul(%q, scale), transpose(%k)) ; %m = causal_mask() {queries, keys, offset, window}
///               %y = matmul(softmax(add(%s, %m)), %v)
///
/// Query heads that share a key head become rows of one product, `[B, Hkv, G·S, D]`: keys and values are broadcast
/// over the group without being repeated. A mask operand takes the place of the generated one; a boolean mask hides
/// with −∞ what is false.
struct DecomposeSDPA: Pass {
    let name = "decompose-sdpa"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        var layer = 0
        for (position, node) in graph.nodes.enumerated() where node.op == "scaled_dot_product_attention" {
            editor.anchor = position
            let view = NodeView(node, editor)
            let value = try decompose(view, editor)
            editor.replace(node.result, with: value)
            notes.attention.append(notes.report(layer, view, kernel: "matmul"))
            layer += 1
        }
        graph = try editor.commit()
    }

    private func decompose(_ node: NodeView, _ editor: GraphEditor) throws(ApusError) -> Value {
        guard let q = node.operand(0), let k = node.operand(1), let v = node.operand(2),
            let scale = node.float("scale")
        else { throw ApusError(.internal, "attention without an operand or its scale") }
        let (shape, keys) = (node.type.shape, editor.type(of: k).shape)
        let heads = [shape[0], shape[1], shape[2], keys[2]]
        let isGrouped = shape[1] != keys[1]
        guard let groups = shape[1].dividedExactly(by: keys[1]) else {
            throw ApusError(.unsupported, "\(shape[1]) query heads do not share \(keys[1]) key heads evenly")
        }
        let grouped = [shape[0], keys[1], groups * shape[2]]

        let softcap = node.float("softcap") ?? 0
        // A query has fewer elements than its scores.
        let scaled = try multiply(q, softcap > 0 ? scale / softcap : scale, editor)
        let rows = isGrouped ? try view(scaled, grouped + [shape[3]], editor) : scaled
        let columns = try editor.add("transpose", [k], ["dim0": 2, "dim1": 3])
        var scores = try editor.add("matmul", [rows, columns])
        if softcap > 0 { scores = try multiply(editor.add("tanh", [scores]), softcap, editor) }
        if let mask = try mask(node, heads, editor) {
            if isGrouped { scores = try view(scores, heads, editor) }
            scores = try editor.add("add", [scores, mask])
        }
        var weights = try editor.add("softmax", [scores], ["dim": -1])
        if isGrouped { weights = try view(weights, grouped + [keys[2]], editor) }
        let result = try editor.add("matmul", [weights, v])
        return isGrouped ? try view(result, shape, editor) : result
    }

    private func view(_ x: Value, _ shape: [Dimension], _ editor: GraphEditor) throws(ApusError) -> Value {
        editor.type(of: x).shape == shape ? x : try editor.add("view", [x], ["shape": .dimensions(shape)])
    }

    private func multiply(
        _ x: Value, _ factor: Double, _ editor: GraphEditor
    ) throws(ApusError) -> Value {
        if factor == 1 { return x }
        let type = TensorType(editor.type(of: x).element, [Dimension]())
        return try editor.add("mul", [x, try editor.constant(TensorLiteral(type, [factor]))])
    }

    /// What is added to the scores [B, H, S, T], or a shape that broadcasts to it; nil if every key is visible.
    private func mask(
        _ node: NodeView, _ scores: [Dimension], _ editor: GraphEditor
    ) throws(ApusError) -> Value? {
        let element = node.type.element
        var mask: Value
        if let given = node.operand(3) {
            mask = given
            if editor.type(of: mask).element == .bool {
                let type = TensorType(element, [Dimension]())
                let seen = try editor.constant(TensorLiteral(type, [0]))
                let hidden = try editor.constant(TensorLiteral(type, [-.infinity]))
                mask = try editor.add("where", [mask, seen, hidden])
            }
        } else if node.bool("is_causal") {
            let window = node.int("sliding_window") ?? 0
            mask = try editor.add(
                "causal_mask", [],
                [
                    "queries": .size(scores[2]), "keys": .size(scores[3]),
                    "offset": .size(scores[3] - scores[2]), "window": .int(window),
                ])
        } else {
            return nil
        }
        return editor.type(of: mask).element == element
            ? mask : try editor.add("to", [mask], ["element": .element(element)])
    }
}
