import ApusGraph
import ApusSupport

/// Proves what the mask of each attention lets it see, from how the mask is computed.
///
///     %i = arange() ; %j = unsqueeze(%i, 1) ; %m = le(%i, %j)
///     %y = scaled_dot_product_attention(%q, %k, %v, %m)
///         →     %y = scaled_dot_product_attention(%q, %k, %v) {is_causal = true, mask_class = "causal"}
///
/// Causal masks, causal ones with a sliding window and masks that hide nothing are dropped: the attention computes
/// them by itself. Others stay, with their class: left-padded, block, general. An additive mask is one only if what
/// it adds is 0 or so low that nothing is left (−65504, the lowest FP16, or lower); otherwise it is general.
/// Nothing is assumed of data: only that the runtime's `position_ids` rise by one.
struct ClassifyAttentionMask: Pass {
    let name = "classify-attention-mask"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        let tables = ConstantTables(notes.weights)
        notes.masks = []
        for (position, node) in graph.nodes.enumerated() where node.op == "scaled_dot_product_attention" {
            let view = NodeView(node, editor)
            guard let mask = view.operand(3) else {
                notes.masks.append(MaskReport(layer: notes.masks.count, view.builtInMask, reason: nil))
                continue
            }
            let report = try Self.classify(mask, view, editor, tables, layer: notes.masks.count)
            notes.masks.append(report)
            var attributes = node.attributes
            attributes["mask_class"] = .string(report.maskClass.name)
            var operands = view.operands
            if report.maskClass.isBuiltIn {
                operands.removeLast()
                attributes["is_causal"] = .bool(report.maskClass != .allVisible)
                if case .slidingWindow(let size) = report.maskClass {
                    attributes["sliding_window"] = .int(size)
                }
            }
            guard attributes != node.attributes || operands.count != node.operands.count else { continue }
            editor.anchor = position
            editor.replace(node.result, with: try editor.add(node.op, operands, attributes))
        }
        graph = try editor.commit()
    }

    /// What a mask is, and why: queries are the last of the keys' positions.
    static func classify(
        _ mask: Value, _ node: NodeView, _ editor: GraphEditor, _ tables: ConstantTables, layer: Int
    ) throws(ApusError) -> MaskReport {
        guard let queries = node.types[0]?.shape[2], let keys = node.types[1]?.shape[2] else {
            return MaskReport(layer: layer, .general, reason: "an operand is missing")
        }
        return try classify(
            mask, node, MaskAnalysis(editor, tables: tables), layer: layer, offset: keys - queries)
    }

    /// What a mask is, and why: query q stands at position q + `offset`, key k at position k.
    static func classify(
        _ mask: Value, _ node: NodeView, _ analysis: MaskAnalysis, layer: Int, offset: Dimension
    ) throws(ApusError) -> MaskReport {
        guard let query = node.types[0]?.shape, let key = node.types[1]?.shape else {
            return MaskReport(layer: layer, .general, reason: "an operand is missing")
        }
        let editor = analysis.editor
        let place = [
            analysis.declare(IndexDomain.batch, query[0]), analysis.declare(IndexDomain.head, query[1]),
            analysis.declare(IndexDomain.query, query[2]), analysis.declare(IndexDomain.key, key[2]),
        ].suffix(editor.type(of: mask).rank)
        let text = FormulaText { editor.shortName($0) }
        let visible: Formula
        switch try analysis.element(mask, at: Array(place)) {
        case .truth(let formula): visible = formula
        case .number(let pieces):
            var parts: [Formula] = []
            for piece in pieces.pieces {
                guard let bias = piece.term.constant, bias == 0 || bias <= lowestFP16 else {
                    var reason = "it adds \(text(piece.term)) where \(text(piece.condition))"
                    if let more = obstacle(analysis) { reason += "; " + more }
                    return MaskReport(layer: layer, .general, reason: reason)
                }
                if bias == 0 { parts.append(piece.condition) }
            }
            visible = analysis.domain.simplified(.any(of: parts))
        }
        let decision = MaskDecision(
            visible, distance: .symbol(IndexDomain.query) - .symbol(IndexDomain.key) + offset,
            analysis.domain, text, isGiven: editor.isGiven)
        var reason = decision.reason
        if let input = analysis.usedPositions { reason += ", as \(input) rise by one" }
        if decision.maskClass == .general, let more = obstacle(analysis) { reason += "; " + more }
        return MaskReport(layer: layer, decision.maskClass, reason: reason)
    }

    /// Scores are hidden by nothing less than this: e to that power is 0 in every precision.
    private static let lowestFP16 = -65504.0

    private static func obstacle(_ analysis: MaskAnalysis) -> String? {
        analysis.obstacle.map { value in
            "it depends on \(value)" + (analysis.tables.problem.map { ": " + $0 } ?? "")
        }
    }
}

/// What the mask of one attention was proven to be.
public struct MaskReport: Sendable, Hashable, CustomStringConvertible {
    /// Position among the attentions of the graph, from 0.
    public let layer: Int
    /// What the mask lets a query see.
    public let maskClass: MaskClass
    /// Under which condition a key is visible; nil if the attention had no mask operand.
    public let reason: String?

    /// Makes a report.
    public init(layer: Int, _ maskClass: MaskClass, reason: String?) {
        self.layer = layer
        self.maskClass = maskClass
        self.reason = reason
    }

    /// The report on one line.
    public var description: String {
        "mask \(layer): \(maskClass)" + (reason.map { ": " + $0 } ?? "")
    }
}

extension PassNotes {
    /// What is known of an attention's mask: what was proven, else what its operands and attributes say.
    func mask(of layer: Int, _ node: NodeView) -> MaskReport {
        masks.first { $0.layer == layer }
            ?? MaskReport(
                layer: layer, node.operand(3) == nil ? node.builtInMask : .general, reason: nil)
    }

    /// The report of an attention that became `kernel`.
    func report(
        _ layer: Int, _ node: NodeView, kernel: String, reason: String? = nil
    ) -> AttentionReport {
        let mask = mask(of: layer, node)
        return AttentionReport(
            layer: layer, kernel: kernel, maskClass: mask.maskClass, maskReason: mask.reason, reason: reason)
    }
}

extension GraphEditor {
    /// Whether a value is an input of the graph, as it is or reshaped and converted.
    fileprivate func isGiven(_ value: Value) -> Bool {
        var value = resolve(value)
        while let node = producer(of: value) {
            guard ["to", "unsqueeze", "view", "expand"].contains(node.op), let x = node.operands[0] else {
                return false
            }
            value = resolve(x)
        }
        return true
    }
}

extension NodeView {
    /// What an attention without a mask operand lets a query see.
    var builtInMask: MaskClass {
        guard bool("is_causal") else { return .allVisible }
        guard let window = int("sliding_window"), window > 0 else { return .causal }
        return .slidingWindow(window)
    }
}
