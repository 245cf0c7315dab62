import ApusGraph
import ApusSupport

/// Stores the large weights, and the KV caches, in the precision that was asked for.
///
///     %w = parameter() : f32[N, K] ; %y = linear(%x, %w)     →     %w = parameter() : f16[N, K] ; …
///     %e = embedding(%w, %ids)                               →     %e = embedding(%w, %ids) {widen = true}
///
/// A parameter changes type if every use leads, maybe through concatenations, transposes, views and slices, into the
/// weight of a linear or the table of an embedding. Norm weights and biases stay FP32, and so do activations. Rows
/// of static caches are converted where they go in and come out, see ``StaticCacheTypes``.
struct AssignWeightTypes: Pass {
    let name = "assign-weight-types"
    /// Element type of the weights.
    let precision: ElementType
    /// Element type of the KV caches; those of the attention plugin may be `i8`, codes with scales.
    let kvCache: ElementType

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let isWeight = weights(graph)
        for index in graph.nodes.indices {
            let node = graph.nodes[index]
            if node.op == "embedding", precision != .f32, let table = node.operands[0],
                isWeight[table.index], node.attributes["widen"] != .bool(true)
            {
                graph.nodes[index].attributes["widen"] = true
            }
            if node.op == "attention_plugin", let cache = node.operands[1] {
                for value in [cache, node.results[1]] {
                    var shape = graph.type(of: value).shape
                    if let size = shape.last?.constant {
                        shape[shape.count - 1] = Dimension(AttentionCacheRows.size(kvCache, headSize: size))
                    }
                    graph.setType(of: value, to: TensorType(kvCache, shape))
                }
            }
            for value in node.results where isWeight[value.index] {
                graph.setType(of: value, to: TensorType(precision, graph.type(of: value).shape))
            }
        }
        StaticCacheTypes.assign(kvCache, &graph)
    }

    /// For each value, whether it is a weight, or moved elements of weights, that goes nowhere but into the weights
    /// of linears and the tables of embeddings.
    private func weights(_ graph: Graph) -> [Bool] {
        var isWeight = [Bool](repeating: false, count: graph.valueCount)
        for node in graph.nodes {
            let isMoved =
                weightOps.contains(node.op)
                && node.operands.allSatisfy { $0.map { isWeight[$0.index] } ?? true }
            guard node.op == "parameter" || isMoved else { continue }
            isWeight[node.result.index] = graph.type(of: node.result).element.isFloat
        }
        for value in graph.outputs { isWeight[value.index] = false }
        // A use that does not fit takes back the value, and with it what it is made of or joined with.
        var isSettled = false
        while !isSettled {
            isSettled = true
            func reject(_ value: Value) {
                if isWeight[value.index] {
                    isWeight[value.index] = false
                    isSettled = false
                }
            }
            for node in graph.nodes.reversed() {
                let isMoved = weightOps.contains(node.op) && isWeight[node.result.index]
                for (index, operand) in node.operands.enumerated() {
                    guard let operand, isWeight[operand.index] else { continue }
                    let isFitting =
                        isMoved || (node.op == "linear" && index == 1)
                        || (node.op == "embedding" && index == 0)
                    if !isFitting { reject(operand) }
                }
                if isMoved, node.operands.contains(where: { $0.map { !isWeight[$0.index] } ?? false }) {
                    reject(node.result)
                }
            }
        }
        return isWeight
    }
}
