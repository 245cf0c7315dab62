import ApusGraph
import ApusSupport

/// Makes a program that was exported with a KV cache the equal program without: backends then choose the cache.
///
///     %k = index_copy(%key_cache_0, %cache_position, %new_k) {dim = 2} ; %v = …     (rows of a static cache)
///     %y = scaled_dot_product_attention(%q, %k, %v, key slot ≤ cache_position) ; return %logits, %k, %v
///
///     %k = cat(%past_k, %new_k) {dim = 2} ; %v = …                                  (a cache that grows)
///     %y = scaled_dot_product_attention(%q, %k, %v) {is_causal = true} ; return %logits, %k, %v
///
///         →     %y = scaled_dot_product_attention(%q, %new_k, %new_v) {is_causal = true} ; return %logits
///
/// Both compute the same where all tokens are given at once, with nothing cached before. Requires that each cache is
/// written once, at positions that rise by one, and that attention alone reads it, causally. Changes the signature:
/// cache inputs and outputs, and counters of what is cached, go away; `cache_position` [S] becomes `position_ids`
/// [1, S]. What does not fit stays, with a remark that says why.
struct LiftKVCache: Pass {
    let name = "lift-kv-cache"

    static let cachePosition = "cache_position"

    /// How a cache gets its new rows.
    private struct Update {
        /// The graph's input, [B, Hkv, T, D].
        let cache: Value
        /// The new rows, [B, Hkv, S, D].
        let new: Value
        /// Where rows of a static cache go; nil if they are appended.
        let rows: Value?
        let result: Value
    }

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        let attentions = graph.nodes.enumerated().filter { $0.element.op == "scaled_dot_product_attention" }
        let cached = attentions.map { entry in
            (1...2).map { entry.element.operands[$0].flatMap { update($0, editor) } }
        }
        guard cached.contains(where: { $0.contains { $0 != nil } }) else { return }
        do throws(ApusError) {
            var masks: [Int: MaskReport] = [:]
            for (layer, (attention, updates)) in zip(attentions, cached).enumerated() {
                guard let key = updates[0], let value = updates[1] else {
                    throw ApusError(.unsupported, "attention \(layer) has no cache of keys and values")
                }
                let view = NodeView(attention.element, editor)
                let mask = try visibility(view, key, value, layer, editor, notes)
                masks[layer] = mask
                editor.anchor = attention.offset
                try replace(view, key, value, mask.maskClass, editor)
            }
            let caches = cached.flatMap { $0 }.compactMap { $0 }
            try requireSoleUse(caches, attentions.map(\.element), graph)
            var lifted = try editor.commit()
            try removeState(&lifted, caches, &notes)
            graph = lifted
            for (layer, mask) in masks where layer < notes.masks.count { notes.masks[layer] = mask }
        } catch {
            guard error.code == .unsupported else { throw error }
            notes.remarks.append("\(name): the program keeps its cache: \(error.message)")
        }
    }

    /// Keys or values as the update of an input.
    private func update(_ value: Value, _ editor: GraphEditor) -> Update? {
        guard let node = editor.producer(of: value).map({ NodeView($0, editor) }), node.type.rank == 4,
            node.axis("dim") == 2, let cache = node.operand(0), editor.producer(of: cache) == nil
        else { return nil }
        switch node.node.op {
        case "index_copy":
            guard let rows = node.operand(1), let new = node.operand(2) else { return nil }
            return Update(cache: cache, new: new, rows: rows, result: node.node.result)
        case "cat":
            guard node.operands.count == 2, let new = node.operand(1) else { return nil }
            return Update(cache: cache, new: new, rows: nil, result: node.node.result)
        default: return nil
        }
    }

    /// What an attention over caches sees, as one over the new rows.
    private func visibility(
        _ node: NodeView, _ key: Update, _ value: Update, _ layer: Int, _ editor: GraphEditor,
        _ notes: PassNotes
    ) throws(ApusError) -> MaskReport {
        guard editor.type(of: key.new) == editor.type(of: value.new),
            let queries = node.types[0]?.shape[2], editor.type(of: key.new).shape[2] == queries
        else { throw ApusError(.unsupported, "attention \(layer) caches other rows than its queries'") }
        let report: MaskReport
        if let rows = key.rows, let mask = node.operand(3) {
            guard rows == value.rows else {
                throw ApusError(.unsupported, "attention \(layer) writes keys and values to different rows")
            }
            let analysis = MaskAnalysis(
                editor, tables: ConstantTables(notes.weights),
                positionInputs: [Self.cachePosition, RotaryAnalysis.positionInput])
            let step = analysis.freshCoordinate(queries)
            guard case .integer(let position)? = try analysis.number(rows, at: [step]).single,
                (position - step).symbols.allSatisfy({ $0.hasPrefix(IndexDomain.start) })
            else {
                throw ApusError(
                    .unsupported, "attention \(layer) writes to rows that are not known to rise by one")
            }
            report = try ClassifyAttentionMask.classify(
                mask, node, analysis, layer: layer, offset: position - step)
        } else if key.rows == nil, value.rows == nil, node.operand(3) == nil {
            report = MaskReport(layer: layer, node.builtInMask, reason: nil)
        } else {
            throw ApusError(.unsupported, "the mask of attention \(layer) is not causal")
        }
        switch report.maskClass {
        case .causal, .slidingWindow: return report
        default:
            throw ApusError(
                .unsupported,
                "the mask of attention \(layer) is \(report.maskClass)"
                    + (report.reason.map { ": " + $0 } ?? ""))
        }
    }

    private func replace(
        _ node: NodeView, _ key: Update, _ value: Update, _ mask: MaskClass, _ editor: GraphEditor
    ) throws(ApusError) {
        var attributes = node.node.attributes
        attributes["is_causal"] = true
        attributes["mask_class"] = .string(mask.name)
        if case .slidingWindow(let size) = mask { attributes["sliding_window"] = .int(size) }
        editor.replace(
            node.node.result,
            with: try editor.add(node.node.op, [node.operand(0), key.new, value.new], attributes))
    }

    /// Refuses caches that something else reads, or that are written twice.
    private func requireSoleUse(_ caches: [Update], _ attentions: [Node], _ graph: Graph) throws(ApusError) {
        var uses = graph.useCounts()
        for attention in attentions {
            for case let value? in attention.operands[1...2] { uses[value.index] -= 1 }
        }
        for value in graph.outputs { uses[value.index] -= 1 }
        for cache in caches {
            let name = graph.name(of: cache.cache) ?? "a cache"
            guard uses[cache.cache.index] == 1, !graph.outputs.contains(cache.cache) else {
                throw ApusError(.unsupported, "the cache %\(name) is read by more than its update")
            }
            guard uses[cache.result.index] == 0 else {
                throw ApusError(.unsupported, "the updated cache %\(name) is read by more than attention")
            }
        }
    }

    // MARK: Signature

    /// Removes inputs and outputs that were the cache's.
    private func removeState(
        _ graph: inout Graph, _ caches: [Update], _ notes: inout PassNotes
    ) throws(ApusError) {
        let results = Set(caches.map(\.result))
        let inputs = Set(caches.map(\.cache))
        // What is cached is counted in integers that no logits depend on.
        let counters = graph.outputs.dropFirst().filter { value in
            let type = graph.type(of: value)
            return type.element.isInteger && type.rank <= 1
        }
        graph.outputs.removeAll { results.contains($0) || counters.contains($0) }
        guard !graph.outputs.isEmpty else {
            throw ApusError(.unsupported, "nothing but caches is returned")
        }
        try DeadCode().run(&graph, &notes)
        let uses = graph.useCounts()
        for cache in inputs where uses[cache.index] > 0 {
            throw ApusError(.unsupported, "the cache %\(graph.name(of: cache) ?? "") is still read")
        }
        let unused = graph.inputs.filter { value in
            let type = graph.type(of: value)
            let isCounter = uses[value.index] == 0 && type.element.isInteger && type.rank <= 1
            return inputs.contains(value) || (isCounter && graph.name(of: value) != Self.cachePosition)
        }
        graph.removeInputs(where: unused.contains)
        renamePositions(&graph)
    }

    /// Makes an input `position_ids` [1, S] of `cache_position` [S], or uses the one there is.
    private func renamePositions(_ graph: inout Graph) {
        guard let old = graph.input(named: Self.cachePosition), graph.type(of: old).rank == 1 else { return }
        let type = graph.type(of: old)
        let positions =
            graph.input(named: RotaryAnalysis.positionInput)
            ?? graph.addInput(RotaryAnalysis.positionInput, TensorType(type.element, [1] + type.shape))
        let row = graph.makeValue(type)
        graph.replaceUses([old: row])
        graph.nodes.insert(
            Node(
                op: "view", operands: [positions], attributes: ["shape": .dimensions(type.shape)],
                results: [row]), at: 0)
        graph.removeInputs { $0 == old }
    }
}
