import ApusGraph
import ApusSupport

/// Gives every causal attention keys and values of earlier tokens, kept in tensors of a fixed capacity.
///
///     %y = scaled_dot_product_attention(%q, %k, %v) {is_causal = true, …}
///
/// version 1, where attention reads the updated cache, up to and with the new rows:
///
///     %k_cache_0.out = cat(slice(%k_cache_0) {0 ..< P}, %k, slice(%k_cache_0) {P + S ..< C})
///     %keys = slice(%k_cache_0.out) {0 ..< P + S}
///
/// version 2, with one slice less:
///
///     %keys = cat(slice(%k_cache_0) {0 ..< P}, %k)
///     %k_cache_0.out = cat(%keys, slice(%k_cache_0) {P + S ..< C})
///
/// then, with %values made likewise, `%y = scaled_dot_product_attention(%q, %keys, %values) {…}`.
///
/// Changes the signature to (input_ids, position_ids, k_cache_0, v_cache_0, …, start_idx, end_idx) → (logits,
/// k_cache_0.out, v_cache_0.out, …). A cache is [B, Hkv, C, D], keys and values un-expanded; P is the value of
/// `start_idx`, C the capacity. `end_idx` is P + S, as the shapes say too. A graph with an input `start_idx` has its
/// cache already and stays as it is.
struct InsertStaticCache: Pass {
    /// The two patterns of Torch-TensorRT's static caches.
    enum Version: Int { case v1 = 1, v2 }

    let version: Version
    var name: String { "insert-static-cache-v\(version.rawValue)" }

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        guard graph.input(named: StaticCache.start) == nil else { return }
        let attentions = graph.nodes.enumerated().filter { $0.element.op == "scaled_dot_product_attention" }
        guard !attentions.isEmpty else { return }
        let editor = GraphEditor(graph, registry: notes.registry)
        try check(attentions.map { NodeView($0.element, editor) }, editor)

        let rows = try Rows(NodeView(attentions[0].element, editor), editor)
        var outputs: [Value] = []
        for (layer, (position, node)) in attentions.enumerated() {
            editor.anchor = position
            let view = NodeView(node, editor)
            guard let query = view.operand(0), let key = view.operand(1), let value = view.operand(2) else {
                continue
            }
            let keys = try extend(key, StaticCache.keys(layer), rows, editor)
            let values = try extend(value, StaticCache.values(layer), rows, editor)
            outputs += [keys.cache, values.cache]
            let attention = try editor.add(
                node.op, [query, keys.visible, values.visible], node.attributes,
                name: graph.name(of: node.result))
            editor.replace(node.result, with: attention)
        }
        let scalar = TensorType(.i64, [Dimension]())
        for name in [StaticCache.start, StaticCache.end] { _ = editor.addInput(name, scalar) }
        outputs.forEach(editor.addOutput)
        graph = try editor.commit()
    }

    /// Refuses attentions whose meaning would change if earlier keys were put in front, all at once.
    private func check(_ attentions: [NodeView], _ editor: GraphEditor) throws(ApusError) {
        var problems: [String] = []
        let rows = attentions[0].type.shape[2]
        for (layer, node) in attentions.enumerated() {
            let place = "attention \(layer) (\(editor.describe(node.node.result)))"
            if let mask = node.operand(3) {
                problems.append("\(place): the mask \(editor.describe(mask)) is not proven to be causal")
            } else if !node.bool("is_causal") {
                problems.append("\(place): it is not causal")
            } else if let keys = node.types[1], keys.shape[2] != node.type.shape[2] {
                problems.append("\(place): keys \(keys) are not those of its \(node.type.shape[2]) queries")
            } else if node.type.shape[2] != rows {
                problems.append("\(place): \(node.type.shape[2]) tokens, where the first has \(rows)")
            }
        }
        guard !problems.isEmpty else { return }
        throw ApusError(
            .unsupported,
            "a static cache needs causal attention over the new tokens; choose cache none:"
                + problems.map { "\n  \($0)" }.joined())
    }

    /// The symbols that all caches share.
    private struct Rows {
        /// P: rows before the new ones.
        let start: Dimension
        /// P + S: rows after the call.
        let end: Dimension
        /// C: rows there are.
        let capacity: Dimension

        init(_ attention: NodeView, _ editor: GraphEditor) throws(ApusError) {
            let tokens = attention.type.shape[2]
            let symbols = editor.graph.symbols
            let bound = tokens.evaluate { name in symbols.first { $0.name == name }?.range.upperBound }
            guard let bound, bound > 0 else {
                throw ApusError(.unsupported, "dimension \(tokens) has no upper bound above 0")
            }
            capacity = editor.declareSymbol("C", 1...bound)
            start = editor.declareSymbol("P", 0...bound - 1, .input(StaticCache.start))
            end = start + tokens
        }
    }

    /// Adds a cache; returns the keys or values up to and with the new ones, and the updated cache.
    private func extend(
        _ new: Value, _ name: String, _ rows: Rows, _ editor: GraphEditor
    ) throws(ApusError) -> (visible: Value, cache: Value) {
        var type = editor.type(of: new)
        type.shape[2] = rows.capacity
        let cache = editor.addInput(name, type)
        func slice(_ x: Value, _ start: Dimension, _ end: Dimension) throws(ApusError) -> Value {
            try editor.add("slice", [x], ["dim": 2, "start": .size(start), "end": .size(end)])
        }
        let before = try slice(cache, 0, rows.start)
        let after = try slice(cache, rows.end, rows.capacity)
        let out = "\(name).out"
        switch version {
        case .v1:
            let updated = try editor.add("cat", [before, new, after], ["dim": 2], name: out)
            return (try slice(updated, 0, rows.end), updated)
        case .v2:
            let visible = try editor.add("cat", [before, new], ["dim": 2])
            return (visible, try editor.add("cat", [visible, after], ["dim": 2], name: out))
        }
    }
}
