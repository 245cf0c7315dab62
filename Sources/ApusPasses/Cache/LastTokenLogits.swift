import ApusGraph
import ApusSupport

/// Computes the logits of the last token of each sequence only, and whatever else only they need.
///
///     %n = rms_norm(%h, %w) ; %logits = linear(%n, %head)                          : f32[B, S, V]
///         →     %g = gather_last_token(%h, %last_token_ids) ; %n = rms_norm(%g, %w)
///               %logits = linear(%n, %head)                                        : f32[B, 1, V]
///
/// What treats each token by itself (projections, norms, activations, residuals) and is used by the logits alone
/// works on one token as well: in a decoder, the last layer's MLP and output projection. Changes the signature: adds
/// the input `last_token_ids`, i32[B]. Requires the first output to be a linear of rank 3.
struct LastTokenLogits: Pass {
    let name = "last-token-logits"

    /// Ops that treat each token by itself.
    private static let tokenwise: Set<String> = [
        "linear", "rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm", "swiglu", "gelu", "silu",
        "relu",
        "tanh", "sigmoid", "add", "sub", "mul", "div",
    ]

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let producers = graph.producers()
        guard let logits = graph.outputs.first, producers[logits.index] >= 0 else { return }
        let type = graph.type(of: logits)
        guard graph.nodes[producers[logits.index]].op == "linear", type.rank == 3, type.shape[1] != 1 else {
            return
        }
        let rows = Array(type.shape.prefix(2))
        let isNarrowed = narrowed(graph, logits, rows)
        guard isNarrowed[producers[logits.index]] else { return }

        let last = graph.addInput("last_token_ids", TensorType(.i32, [rows[0]]))
        var gathered: [Value: Value] = [:]
        var nodes: [Node] = []
        for (position, var node) in graph.nodes.enumerated() {
            guard isNarrowed[position] else {
                nodes.append(node)
                continue
            }
            for (index, operand) in node.operands.enumerated() {
                guard let operand, Self.isRows(graph.type(of: operand), rows) else { continue }
                if let value = gathered[operand] {
                    node.operands[index] = value
                    continue
                }
                let value = graph.makeValue(
                    TensorType(
                        graph.type(of: operand).element, [rows[0], 1, graph.type(of: operand).shape[2]]))
                nodes.append(
                    Node(
                        op: "gather_last_token", operands: [operand, last], attributes: [:], results: [value])
                )
                gathered[operand] = value
                node.operands[index] = value
            }
            let types = try GraphBuilder.resultTypes(
                node.op, node.operands.map { $0.map(graph.type) }, node.attributes, notes.registry)
            for (value, type) in zip(node.results, types) { graph.setType(of: value, to: type) }
            nodes.append(node)
        }
        graph.nodes = nodes
    }

    /// For each node, whether it treats tokens one by one and only the last token's logits use it.
    private func narrowed(_ graph: Graph, _ logits: Value, _ rows: [Dimension]) -> [Bool] {
        // Uses by anything but the logits and what only they need; dead nodes have none and are not reached.
        var uses = graph.useCounts()
        uses[logits.index] -= 1
        var isReached = [Bool](repeating: false, count: graph.valueCount)
        isReached[logits.index] = true
        var isNarrowed = [Bool](repeating: false, count: graph.nodes.count)
        for (position, node) in graph.nodes.enumerated().reversed() {
            let isFree = node.results.allSatisfy { uses[$0.index] == 0 }
            let isNeeded = node.results.contains { isReached[$0.index] }
            guard isFree, isNeeded, isTokenwise(node, graph, rows) else { continue }
            isNarrowed[position] = true
            for case let value? in node.operands {
                uses[value.index] -= 1
                isReached[value.index] = true
            }
        }
        return isNarrowed
    }

    private func isTokenwise(_ node: Node, _ graph: Graph, _ rows: [Dimension]) -> Bool {
        guard Self.tokenwise.contains(node.op),
            node.results.allSatisfy({ Self.isRows(graph.type(of: $0), rows) })
        else { return false }
        return node.operands.enumerated().allSatisfy { index, operand in
            guard let type = operand.map(graph.type) else { return true }
            return Self.isRows(type, rows) || type.rank <= 1 || (node.op == "linear" && index == 1)
        }
    }

    /// Whether a type is [B, S, anything].
    private static func isRows(_ type: TensorType, _ rows: [Dimension]) -> Bool {
        type.rank == 3 && Array(type.shape.prefix(2)) == rows
    }
}
