import ApusGraph
import ApusSupport

/// Removes nodes that no output depends on.
///
///     %a = silu(%x) ; %y = neg(%x) ; return %y     →     %y = neg(%x) ; return %y
///
/// Inputs stay, used or not: they are the graph's signature.
struct DeadCode: Pass {
    let name = "dead-code"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        var isLive = [Bool](repeating: false, count: graph.valueCount)
        for value in graph.outputs { isLive[value.index] = true }
        var kept: [Node] = []
        for node in graph.nodes.reversed() where node.results.contains(where: { isLive[$0.index] }) {
            for case let value? in node.operands { isLive[value.index] = true }
            kept.append(node)
        }
        if kept.count != graph.nodes.count { graph.nodes = kept.reversed() }
    }
}
