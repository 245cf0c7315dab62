import ApusGraph
import ApusSupport

/// Reads orders of inputs that are equal from one weight, so that projections of one input have one input again.
///
///     %a = index_select(%x, %q.order) ; %b = index_select(%x, %k.order)      where the weights hold the same numbers
///         →     %a = index_select(%x, %q.order) ; %b = index_select(%x, %q.order)
///
/// A checkpoint that was quantised in the order of its activations stores an order with each weight; those of the
/// projections of one input are the same. Looks at the weights' values; without them nothing is merged.
struct MergeEqualOrders: Pass {
    let name = "merge-equal-orders"

    private struct Order: Hashable {
        let type: TensorType
        let bytes: [UInt8]
    }

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        guard let weights = notes.weights else { return }
        let editor = GraphEditor(graph, registry: notes.registry)
        var known: [Order: Value] = [:]
        var seen: Set<Value> = []
        for node in graph.nodes where node.op == "index_select" {
            guard let index = node.operands[1], seen.insert(index).inserted,
                let parameter = editor.producer(of: index, "parameter"), parameter.type.element.isInteger,
                let name = parameter.string("name"), weights.type(of: name) == parameter.type
            else { continue }
            var bytes: [UInt8] = []
            try weights.withBytes(of: name) { buffer throws(ApusError) in bytes = Array(buffer) }
            let order = Order(type: parameter.type, bytes: bytes)
            if let first = known[order] {
                editor.replace(index, with: first)
            } else {
                known[order] = index
            }
        }
        graph = try editor.commit()
    }
}
