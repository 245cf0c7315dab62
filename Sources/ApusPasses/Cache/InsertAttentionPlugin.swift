import ApusGraph
import ApusSupport

/// Gives every causal attention a KV cache: rotary embedding, cache update and attention become one op.
///
///     %q = slice(%qkv, …) ; %k = slice(%qkv, …) ; %v = slice(%qkv, …)
///     %qh = rope(transpose(rms_norm(view(%q), %qn)), %cos, %sin) ; %kh = … ; %vh = transpose(view(%v))
///     %o = scaled_dot_product_attention(%qh, %kh, %vh) {is_causal = true, scale} ; %y = transpose(%o)
///         →     %y, %kv_cache_0.out = attention_plugin(%qkv, %kv_cache_0, %context_lengths, %rope_cos_sin,
///                                                      %kvcache_start_index, %qn, %kn) {scale, …}
///
/// Norms and rotary embeddings may be missing. The tables of cosines and sines, once functions of `position_ids`,
/// become one `rope_table` for all layers (an empty one if nothing rotates). Changes the signature: adds the inputs
/// `context_lengths`, `kvcache_start_index` and `kv_cache_<i>`, appends the updated caches to the outputs, and
/// removes `position_ids` if nothing else uses it. An attention that is not causal, has a mask, or is computed in
/// another way stays as it is; each gets an ``AttentionReport``.
struct InsertAttentionPlugin: Pass {
    let name = "insert-attention-plugin"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        let users = graph.nodes.enumerated().reduce(into: [Value: [Int]]()) { users, entry in
            for case let value? in entry.element.operands { users[value, default: []].append(entry.offset) }
        }
        let isUsingPositions =
            graph.input(named: RotaryAnalysis.positionInput).map { users[$0] != nil } ?? false
        var cache: CacheInputs?
        var layer = 0
        for (position, node) in graph.nodes.enumerated() where node.op == "scaled_dot_product_attention" {
            defer { layer += 1 }
            let view = NodeView(node, editor)
            do {
                let match = try AttentionMatch(view, editor)
                var inputs: CacheInputs
                if let cache { inputs = cache } else { inputs = try CacheInputs(match, editor) }
                try inputs.check(match)
                editor.anchor = position
                let results = try insert(match, graph.name(of: node.result), &inputs, editor)
                cache = inputs
                try replace(
                    node.result, with: results,
                    (users[node.result] ?? []).map { graph.nodes[$0] }, editor)
                notes.attention.append(notes.report(layer, view, kernel: "attention_plugin"))
            } catch {
                guard error.code == .unsupported else { throw error }
                notes.attention.append(
                    notes.report(layer, view, kernel: node.op, reason: error.description))
            }
        }
        cache?.outputs.forEach(editor.addOutput)
        graph = try editor.commit()
        let uses = graph.useCounts()
        if isUsingPositions, let positions = graph.input(named: RotaryAnalysis.positionInput),
            uses[positions.index] == 0
        {
            graph.removeInputs { $0 == positions }
        }
    }

    /// Adds the plugin's node; returns the attention's output [B, S, Hq, D].
    private func insert(
        _ match: AttentionMatch, _ name: String?, _ inputs: inout CacheInputs, _ editor: GraphEditor
    ) throws(ApusError) -> Value {
        let rope = try inputs.table(match.query.rotary, editor)
        let (input, label) = inputs.layer(match, editor)
        var operands: [Value?] = [
            try packed(match, editor), input, inputs.contextLengths, rope, inputs.startIndex,
        ]
        var attributes: [String: Attribute] = [
            "num_q_heads": .int(match.query.heads), "num_kv_heads": .int(match.key.heads),
            "head_size": .int(match.query.size), "attention_scale": .float(match.scale),
        ]
        if match.window > 0 { attributes["sliding_window_size"] = .int(match.window) }
        if match.softcap > 0 { attributes["softcap"] = .float(match.softcap) }
        if let query = match.query.norm, let key = match.key.norm {
            operands += [query.weight, key.weight]
            attributes["qk_norm_eps"] = .float(query.eps)
        }
        let results = try editor.addNode(
            "attention_plugin", operands, attributes, names: [name, "\(label).out"])
        inputs.outputs.append(results[1])
        return results[0]
    }

    /// Query, key and value side by side: the tensor they are slices of, or a concatenation.
    private func packed(_ match: AttentionMatch, _ editor: GraphEditor) throws(ApusError) -> Value {
        let sources = [match.query.source, match.key.source, match.value.source]
        let slices = sources.map { editor.producer(of: $0, "slice") }
        let ranges = slices.compactMap { $0?.lastSlice }
        if let whole = slices[0]?.operand(0), slices.allSatisfy({ $0?.operand(0) == whole }),
            ranges.count == 3, ranges[0].lowerBound == 0, ranges[1].lowerBound == ranges[0].upperBound,
            ranges[2].lowerBound == ranges[1].upperBound,
            editor.type(of: whole).shape.last?.constant == ranges[2].upperBound
        {
            return whole
        }
        return try editor.add("cat", sources, ["dim": 2])
    }

    /// Uses `result` [B, S, Hq, D] in place of the attention's [B, Hq, S, D], without transposing twice.
    private func replace(
        _ attention: Value, with result: Value, _ users: [Node], _ editor: GraphEditor
    ) throws(ApusError) {
        for user in users where NodeView(user, editor).transposes(1, 2) {
            editor.replace(user.result, with: result)
        }
        guard editor.useCount(attention) > 0 else { return }
        editor.replace(attention, with: try editor.add("transpose", [result], ["dim0": 1, "dim1": 2]))
    }
}

/// The inputs that all attention plugins of a graph share, and the caches, one a layer.
private struct CacheInputs {
    let contextLengths: Value
    let startIndex: Value
    private let batch: Dimension
    private let sequence: Dimension
    private let capacity: Dimension
    private let positions: Int
    private var tables: [RotaryTable: Value] = [:]
    /// The updated caches, in the order of the layers.
    var outputs: [Value] = []

    init(_ match: AttentionMatch, _ editor: GraphEditor) throws(ApusError) {
        let symbols = editor.graph.symbols
        func bound(_ dimension: Dimension) throws(ApusError) -> Int {
            let value = dimension.evaluate { name in symbols.first { $0.name == name }?.range.upperBound }
            guard let value, value > 0 else {
                throw ApusError(.unsupported, "dimension \(dimension) has no upper bound above 0")
            }
            return value
        }
        (batch, sequence) = (match.batch, match.sequence)
        positions = try bound(match.sequence)
        let batches = try bound(match.batch)
        capacity = editor.declareSymbol("C", 1...positions)
        let starts = editor.declareSymbol("P", 0...batches)
        contextLengths = editor.addInput("context_lengths", TensorType(.i32, [match.batch]))
        startIndex = editor.addInput("kvcache_start_index", TensorType(.i32, [starts]))
    }

    /// Refuses an attention over other sequences than the first one's.
    func check(_ match: AttentionMatch) throws(ApusError) {
        guard match.batch == batch, match.sequence == sequence else {
            throw ApusError(
                .unsupported,
                "expected sequences [\(batch), \(sequence)] as in the first attention, got "
                    + "[\(match.batch), \(match.sequence)]")
        }
    }

    /// The table of cosines and sines, made in front of all nodes when it is first asked for.
    mutating func table(_ rotary: RotaryTable?, _ editor: GraphEditor) throws(ApusError) -> Value {
        let rotary = rotary ?? RotaryTable(frequencies: [], scaling: 1)
        if let table = tables[rotary] { return table }
        let position = editor.anchor
        editor.anchor = 0
        defer { editor.anchor = position }
        let type = TensorType(.f32, [rotary.frequencies.count])
        let frequencies = try editor.constant(TensorLiteral(type, rotary.frequencies), name: "inv_freq")
        let table = try editor.add(
            "rope_table", [frequencies],
            ["positions": .int(positions), "scaling": .float(rotary.scaling)], name: "rope_cos_sin")
        tables[rotary] = table
        return table
    }

    /// Adds the cache of the next layer.
    func layer(_ match: AttentionMatch, _ editor: GraphEditor) -> (input: Value, name: String) {
        let name = "kv_cache_\(outputs.count)"
        let shape = [match.batch, 2, Dimension(match.key.heads), capacity, Dimension(match.key.size)]
        return (editor.addInput(name, TensorType(.f32, shape)), name)
    }
}
