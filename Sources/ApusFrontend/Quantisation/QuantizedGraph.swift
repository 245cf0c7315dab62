import ApusGraph
import ApusSupport

extension Graph {
    /// The graph with the weights of some linear layers as codes, scales and zero points.
    ///
    ///     %w = parameter P.weight ; %y = linear(%x, %w, %b)
    ///         →     %w = dequantize(parameter P.weight.codes, parameter P.weight.scales, …) ; %y = linear(%x, %w, %b)
    ///
    /// Where groups are of columns out of order, x is gathered first; layers that read one x in one order share the
    /// gather, so that later passes still see that they read one thing.
    /// - Parameter forms: By the position of the node that multiplies.
    func withQuantizedWeights(_ forms: [Int: QuantizedForm]) throws(ApusError) -> Graph {
        guard !forms.isEmpty else { return self }
        var result = self
        result.nodes = []
        var rewriter = QuantizedGraphBuilder(graph: result)
        for (position, node) in nodes.enumerated() {
            if let form = forms[position] {
                try rewriter.multiply(node, form)
            } else {
                rewriter.graph.nodes.append(node)
            }
        }
        // Weights that only quantised layers used.
        let uses = rewriter.graph.useCounts()
        rewriter.graph.nodes.removeAll { $0.op == "parameter" && uses[$0.result.index] == 0 }
        return rewriter.graph
    }
}

/// Builds a graph in which some weights are quantised.
private struct QuantizedGraphBuilder {
    var graph: Graph
    private var gathered: [Gather: Value] = [:]

    private struct Gather: Hashable {
        let x: Value
        let order: [Int32]
    }

    init(graph: Graph) { self.graph = graph }

    /// Adds a `linear` or an `addmm` with its weight as codes; either becomes a `linear`, whose weight is [N, K].
    mutating func multiply(_ node: Node, _ form: QuantizedForm) throws(ApusError) {
        guard let x = node.operands[node.op == "addmm" ? 1 : 0] else { return }
        let bias = node.op == "addmm" ? node.operands[0] : node.operands.count > 2 ? node.operands[2] : nil
        let (n, k, g) = (form.module.outputs, form.module.inputs, form.groups)
        var operands: [Value?] = [
            parameter(.codes, TensorType(.u8, [n, k]), form),
            parameter(.scales, TensorType(.f32, [g, n]), form),
        ]
        if form.hasZeroPoints { operands.append(parameter(.zeroPoints, TensorType(.u8, [g, n]), form)) }
        let weight = try add("dequantize", operands, ["bits": .int(form.bits)], "\(form.name).weight")
        var node = node
        node.op = "linear"
        node.attributes = [:]
        node.operands = [try gather(x, form), weight] + (bias.map { [$0] } ?? [])
        graph.nodes.append(node)
    }

    private mutating func gather(_ x: Value, _ form: QuantizedForm) throws(ApusError) -> Value {
        guard let order = form.order else { return x }
        let key = Gather(x: x, order: order)
        if let known = gathered[key] { return known }
        let index = parameter(.order, TensorType(.i64, [form.module.inputs]), form)
        let axis = graph.type(of: x).rank - 1
        let value = try add("index_select", [x, index], ["dim": .int(axis)], "\(form.name).ordered")
        gathered[key] = value
        return value
    }

    private mutating func parameter(
        _ part: QuantizedPart, _ type: TensorType, _ form: QuantizedForm
    ) -> Value {
        let name = part.name(in: form.name)
        let value = graph.makeValue(type, name: name)
        graph.nodes.append(
            Node(op: "parameter", operands: [], attributes: ["name": .string(name)], results: [value]))
        return value
    }

    private mutating func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute], _ name: String
    ) throws(ApusError) -> Value {
        let types = try GraphBuilder.resultTypes(
            op, operands.map { $0.map(graph.type) }, attributes, .standard)
        let value = graph.makeValue(types[0], name: name)
        graph.nodes.append(Node(op: op, operands: operands, attributes: attributes, results: [value]))
        return value
    }
}
