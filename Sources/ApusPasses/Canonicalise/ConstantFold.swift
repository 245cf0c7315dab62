import ApusGraph
import ApusSupport

/// Computes what depends on constants alone.
///
///     %c = constant() {dense<[2.0]>} ; %y = sqrt(%c)     →     %y = constant() {dense<[1.4142135]>}
///
/// Each step is rounded to its element type, as a kernel would do. Results of more than a million elements, and
/// those of symbolic shape, are left to be computed.
struct ConstantFold: Pass {
    let name = "constant-fold"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        for (position, node) in graph.nodes.enumerated() where node.op != "constant" {
            let view = NodeView(node, editor)
            guard !view.operands.isEmpty, node.results.count == 1 else { continue }
            var literals: [TensorLiteral] = []
            for case let value? in view.operands {
                guard let literal = editor.producer(of: value, "constant")?.literal("value") else { break }
                literals.append(literal)
            }
            guard literals.count == view.operands.count,
                let literal = ConstantEvaluator.evaluate(view, literals)
            else { continue }
            editor.anchor = position
            editor.replace(node.result, with: try editor.constant(literal))
        }
        graph = try editor.commit()
    }
}
