import ApusGraph
import ApusSupport

/// Takes the positions of tokens from outside where a program counts its tokens itself.
///
///     %p = arange() {end = S} ; …     →     %p = view(%position_ids) ; …
///
/// Both are the same where a sequence is given from its start; with a cache, only the input knows where the new
/// tokens stand. Masks that attention computes by itself must be gone: in a mask, `arange` is a place and not a
/// position. Changes the signature: adds `position_ids` [1, S], unless there is one.
struct PositionsAsInput: Pass {
    let name = "positions-as-input"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        guard let tokens = graph.inputs.first, graph.type(of: tokens).rank == 2,
            graph.input(named: RotaryAnalysis.positionInput) == nil,
            !graph.nodes.contains(where: { $0.op == "scaled_dot_product_attention" && $0.hasMask })
        else { return }
        let length = graph.type(of: tokens).shape[1]
        guard length.constant == nil else { return }
        var positions: Value?
        for index in graph.nodes.indices where graph.nodes[index].op == "arange" {
            let node = graph.nodes[index]
            let type = graph.type(of: node.result)
            guard type == TensorType(.i64, [length]), node.attributes["start"].map({ $0 == .int(0) }) ?? true
            else { continue }
            let input =
                positions
                ?? graph.addInput(RotaryAnalysis.positionInput, TensorType(.i64, [1, length]))
            positions = input
            graph.nodes[index] = Node(
                op: "view", operands: [input], attributes: ["shape": .dimensions(type.shape)],
                results: node.results)
        }
    }
}

extension Node {
    /// Whether an attention has a mask operand.
    fileprivate var hasMask: Bool { operands.count > 3 && operands[3] != nil }
}
