import ApusFrontend
import ApusGraph
import ApusPasses
import ApusSupport

/// One linear layer whose weight can be quantised.
struct LinearLayer: Sendable {
    /// The module, such as `model.layers.0.mlp.up_proj`: the prefix of its tensors' names.
    let name: String
    /// The checkpoint's name of the weight [n, k]; of a tied head that of the embedding.
    let weight: String
    /// The checkpoint's name of the bias, if there is one.
    let bias: String?
    /// Outputs.
    let n: Int
    /// Inputs.
    let k: Int
    /// Whether it gives the logits.
    let isHead: Bool
    /// Whether an embedding uses the weight too.
    let isTied: Bool
}

/// The linear layers of an imported model, found in its graph.
struct LinearLayers {
    /// The graph in canonical form, norms and activations fused, nothing else.
    let graph: Graph
    /// The layers in the order of the graph.
    let modules: [LinearLayer]
    /// For each layer, the value that it reads.
    let inputs: [Value]
    /// For each layer, the value that it gives.
    let outputs: [Value]

    /// Analyses a model.
    /// - Throws: `.unsupported` if no weight, or not every one, is used as it is stored.
    init(_ model: ImportedModel) throws(ApusError) {
        let fusions = ["fuse-silu", "fuse-rms-norm", "fuse-layer-norm", "fuse-gelu"]
        let passes = Pipeline.canonical + fusions.compactMap { Pipeline.all[$0] }
        let graph = try PassManager(weights: model.weights).run(model.graph, passes).graph
        self.graph = graph
        let producers = graph.producers()
        func node(_ value: Value?) -> Node? {
            value.flatMap { producers[$0.index] < 0 ? nil : graph.nodes[producers[$0.index]] }
        }
        func parameter(_ value: Value?) -> String? {
            guard let node = node(value), node.op == "parameter",
                case .string(let name)? = node.attributes["name"]
            else { return nil }
            return name
        }
        let embedded = Set(
            graph.nodes.filter { $0.op == "embedding" }.compactMap { parameter($0.operands[0]) })
        var modules: [LinearLayer] = []
        var (inputs, outputs): ([Value], [Value]) = ([], [])
        var others: [String] = []
        for linear in graph.nodes where linear.op == "linear" {
            guard let input = linear.operands[0], let weight = linear.operands[1],
                let shape = graph.type(of: weight).constantShape
            else { continue }
            let isHead = graph.outputs.first == linear.result
            let name = graph.name(of: linear.result) ?? "linear"
            guard let stored = parameter(weight), model.weights.type(of: stored)?.constantShape == shape
            else {
                others.append(name)
                continue
            }
            let isTied = embedded.contains(stored)
            modules.append(
                LinearLayer(
                    name: isTied ? name : Self.module(of: stored), weight: stored,
                    bias: linear.operands.count > 2 ? parameter(linear.operands[2]) : nil, n: shape[0],
                    k: shape[1], isHead: isHead, isTied: isTied))
            inputs.append(input)
            outputs.append(linear.result)
        }
        guard others.isEmpty, !modules.isEmpty else {
            let list = others.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
            throw ApusError(
                .unsupported,
                "\(model.info.modelType): expected weights of linear layers as [outputs, inputs], which quantised formats "
                    + "store, got \(others.isEmpty ? "no linear layer" : "another layout of \(others.count) (\(list), …)"); "
                    + "such a model cannot be quantised")
        }
        (self.modules, self.inputs, self.outputs) = (modules, inputs, outputs)
    }

    private static func module(of weight: String) -> String {
        weight.hasSuffix(".weight") ? String(weight.dropLast(7)) : weight
    }
}
