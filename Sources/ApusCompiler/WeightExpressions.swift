import ApusEngine
import ApusGraph
import ApusSupport

/// The part of a graph that depends on weights and constants only, and so is computed once, when weights are packed.
///
/// `cat` of the q, k and v weights, the transpose of a GPT-2 weight and the table of rotary angles are such
/// expressions; no copy of them is ever made in another form.
struct WeightExpressions {
    /// The ops that can be evaluated while packing.
    private static let foldable: Set<String> = [
        "parameter", "constant", "cat", "transpose", "permute", "view", "unsqueeze", "slice", "to",
        "rope_table", "dequantize",
    ]

    private let graph: Graph
    private let producers: [Int]
    /// For each value, whether it depends on weights and constants only.
    private let isWeight: [Bool]

    init(_ graph: Graph) {
        self.graph = graph
        producers = graph.producers()
        var isWeight = [Bool](repeating: false, count: graph.valueCount)
        for node in graph.nodes where Self.foldable.contains(node.op) {
            let operands = node.operands.compactMap { $0 }
            let isConstant =
                operands.count == node.operands.count && operands.allSatisfy { isWeight[$0.index] }
            if isConstant { for value in node.results { isWeight[value.index] = true } }
        }
        self.isWeight = isWeight
    }

    /// Whether the value is computed at packing.
    subscript(value: Value) -> Bool { isWeight[value.index] }

    /// The node that defines a value.
    func node(of value: Value) -> Node? {
        producers[value.index] < 0 ? nil : graph.nodes[producers[value.index]]
    }

    /// The checkpoint's names of all weights that a value is made of.
    func parameters(of value: Value) -> [String] {
        guard let node = node(of: value) else { return [] }
        if node.op == "parameter", case .string(let name)? = node.attributes["name"] { return [name] }
        return node.operands.compactMap { $0 }.flatMap(parameters(of:))
    }
}
