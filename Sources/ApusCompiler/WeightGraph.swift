import ApusEngine
import ApusGraph
import ApusSupport

/// The part of a lowered graph that packed weights are computed by, as a graph of its own.
///
/// It has no inputs, and one output for each packed weight, in the order of the plan. Its text goes into an engine,
/// so that new weights can be packed without running a pass.
enum WeightGraph {
    /// The text of what `outputs` depend on.
    static func text(of graph: Graph, outputs: [Value]) -> String {
        let producers = graph.producers()
        var isNeeded = [Bool](repeating: false, count: graph.nodes.count)
        var open = outputs
        while let value = open.popLast() {
            let position = producers[value.index]
            guard position >= 0, !isNeeded[position] else { continue }
            isNeeded[position] = true
            open += graph.nodes[position].operands.compactMap { $0 }
        }
        var part = graph
        part.name = "weights"
        part.symbols = []
        part.removeInputs { _ in true }
        part.nodes = graph.nodes.indices.filter { isNeeded[$0] }.map { graph.nodes[$0] }
        part.outputs = outputs
        // Numbers take the place of names, which may hold characters that only a checkpoint's file can spell.
        for node in part.nodes {
            for value in node.results { part.setName(of: value, to: nil) }
        }
        return part.text()
    }

    /// Ways from an output up to the weights it is made of; beyond this a graph is no engine's.
    private static let mostPaths = 4096
    private static let greatestDepth = 64
    /// An intermediate value may be larger than the packed weights, which are converted to fewer bits at the end.
    private static let growth = 16

    /// Reads the graph of an engine and checks it against the engine's weights.
    /// - Throws: `.invalidInput` for a text that no compiler wrote.
    static func graph(of blueprint: EngineBlueprint) throws(ApusError) -> Graph {
        try ApusError.within(EngineSection.source) { () throws(ApusError) in
            let graph = try Graph(parsing: blueprint.origin.sources, source: "line")
            do throws(ApusError) {
                try graph.verify()
            } catch {
                throw ApusError(.invalidInput, error.message, context: error.context)
            }
            let types = graph.outputs.map { graph.type(of: $0) }
            guard graph.inputs.isEmpty, types == blueprint.regions.map(\.type) else {
                throw ApusError(
                    .invalidInput,
                    "expected a graph of the \(blueprint.regions.count) weights of the plan, got one of "
                        + "\(graph.inputs.count) inputs and \(types.count) outputs; compile the model anew")
            }
            try checkSize(graph, packedBytes: blueprint.regions.reduce(0) { $0 + $1.byteCount })
            return graph
        }
    }

    /// Refuses what would take too much time or memory to evaluate.
    private static func checkSize(_ graph: Graph, packedBytes: Int) throws(ApusError) {
        let limit = growth * packedBytes + HugeBuffer.pageBytes
        var paths = [Int](repeating: 1, count: graph.valueCount)
        var depths = [Int](repeating: 0, count: graph.valueCount)
        for node in graph.nodes {
            let operands = node.operands.compactMap { $0?.index }
            let count = operands.isEmpty ? 1 : operands.reduce(0) { $0 + paths[$1] }
            let depth = 1 + operands.reduce(0) { max($0, depths[$1]) }
            for value in node.results {
                let type = graph.type(of: value)
                let elements = type.shape.allSatisfy { $0.constant != nil } ? type.elementCount.constant : nil
                guard let elements, (0...limit / type.element.byteCount).contains(elements),
                    count <= mostPaths, depth <= greatestDepth, isWhole(node)
                else {
                    throw ApusError(
                        .invalidInput,
                        "expected what takes at most \(limit) bytes to compute, got '\(node.op)' of \(type); compile "
                            + "the model anew")
                }
                paths[value.index] = count
                depths[value.index] = depth
            }
        }
    }

    /// Whether the numbers of an integer literal are integers.
    private static func isWhole(_ node: Node) -> Bool {
        guard case .literal(let literal)? = node.attributes["value"], !literal.type.element.isFloat else {
            return true
        }
        return literal.values.allSatisfy { Int64(exactly: $0) != nil }
    }
}
