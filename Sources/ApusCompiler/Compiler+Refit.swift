public import ApusEngine
public import ApusFrontend
import ApusGraph
public import ApusSupport

extension Compiler {
    /// Packs the weights of another checkpoint of the same model for the plan of an engine; no pass is run.
    ///
    /// The result is, bit for bit, what compiling the other checkpoint gives.
    /// - Parameters:
    ///   - blueprint: All of the engine but its weights, checked for the backend.
    ///   - model: The other checkpoint, imported.
    ///   - plugins: Those of the engine, and maybe others.
    ///   - backend: The device to convert weights with.
    ///   - progress: Told how many bytes of weights are packed.
    /// - Throws: `.mismatch` with every weight that is missing or has another shape, or if the model computes
    ///   something else; `.invalidInput` for an engine that cannot be refitted.
    public static func refit(
        _ blueprint: EngineBlueprint, with model: ImportedModel, plugins: PluginRegistry,
        backend: any Backend,
        progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        let graph = try WeightGraph.graph(of: blueprint)
        try checkWeights(of: graph, model.weights)
        guard try importHash(of: model.graph, model.weights) == blueprint.origin.importHash else {
            throw ApusError(
                .mismatch,
                "refit: expected the model that the engine was compiled from, got one whose config.json differs in "
                    + "what is computed (epsilon, rope, activation, …), or whose weights are quantised otherwise "
                    + "(zero points, order of columns); compile it anew")
        }
        var fitted = blueprint
        fitted.info = model.info
        let store = try WeightStore(
            regions: blueprint.regions, byteCount: WeightStore.byteCount(of: blueprint.regions))
        let packings = try backend.packings(of: blueprint.plan, blueprint.regions, plugins)
        try emit(
            graph.outputs, packings, graph, into: store, from: model.weights, backend: backend,
            progress: progress)
        return Engine(fitted, weights: store, plugins: plugins)
    }

    /// A hash of all that an imported graph computes, of the names of its weights, and of the values that passes may
    /// have drawn conclusions from: masks and indices among the parameters.
    ///
    /// Codes of weights are no such values.
    static func importHash(of graph: Graph, _ source: any WeightSource) throws(ApusError) -> UInt64 {
        var text = graph.text()
        let codes = Set(
            graph.nodes.filter { $0.op == "dequantize" }.flatMap { $0.operands.compactMap { $0 } })
        for node in graph.nodes where node.op == "parameter" && !codes.contains(node.result) {
            guard case .string(let name)? = node.attributes["name"],
                let type = source.type(of: name), !type.element.isFloat
            else { continue }
            var hash: UInt64 = 0
            try source.withBytes(of: name) { bytes throws(ApusError) in hash = XXHash64.hash(bytes) }
            text += "\(name) \(XXHash64.text(hash))\n"
        }
        return XXHash64.hash(text)
    }

    /// Compares what the engine is made of with what there is.
    private static func checkWeights(of graph: Graph, _ source: any WeightSource) throws(ApusError) {
        var problems: [String] = []
        for node in graph.nodes where node.op == "parameter" {
            guard case .string(let name)? = node.attributes["name"] else { continue }
            let expected = graph.type(of: node.result)
            guard let stored = source.type(of: name) else {
                problems.append("'\(name)' \(expected.constantShape ?? []) is missing")
                continue
            }
            guard stored.shape == expected.shape,
                stored.element.isFloat ? expected.element.isFloat : stored.element == expected.element
            else {
                problems.append("'\(name)': expected shape \(expected.constantShape ?? []), got \(stored)")
                continue
            }
        }
        guard problems.isEmpty else {
            throw ApusError(
                .mismatch,
                "refit: \(problems.count) weight(s) do not fit the engine; compile the model anew:\n  "
                    + problems.joined(separator: "\n  "))
        }
    }
}
