import ApusGraph
import ApusSupport

/// Computes what is computed several times just once.
///
///     %a = silu(%x) ; %b = silu(%x) ; %y = mul(%a, %b)     →     %a = silu(%x) ; %y = mul(%a, %a)
///
/// Equal means the same op on the same operands with the same attributes, defaults filled in. Parameters of one
/// name are one weight.
struct CommonSubexpressions: Pass {
    let name = "common-subexpressions"

    private struct Key: Hashable {
        let op: String
        let operands: [Value?]
        let attributes: [String: Attribute]
        let types: [TensorType]
    }

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let registry = notes.registry
        let editor = GraphEditor(graph, registry: registry)
        var known: [String: [String: Attribute]] = [:]
        func defaults(_ op: String) -> [String: Attribute] {
            if let list = known[op] { return list }
            let list = registry[op]?.attributeDefaults ?? [:]
            known[op] = list
            return list
        }
        var seen: [Key: [Value]] = [:]
        seen.reserveCapacity(graph.nodes.count)
        for node in graph.nodes {
            let key = Key(
                op: node.op, operands: Self.trimmed(node.operands.map { $0.map(editor.resolve) }),
                attributes: node.attributes.merging(defaults(node.op)) { own, _ in own },
                types: node.results.map(graph.type))
            if let results = seen[key] {
                for (old, new) in zip(node.results, results) { editor.replace(old, with: new) }
            } else {
                seen[key] = node.results
            }
        }
        graph = try editor.commit()
    }

    /// The operands without absent ones at the end.
    private static func trimmed(_ operands: [Value?]) -> [Value?] {
        Array(operands[...(operands.lastIndex { $0 != nil } ?? -1)])
    }
}
