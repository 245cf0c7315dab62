import ApusGraph

/// Linear layers that read one value, and what can take the inverse of a factor on each of its channels.
struct ScalingSite: Sendable {
    /// Where the inverse factors go.
    enum Absorber: Sendable, Equatable {
        /// Into the elements of a norm's weight, and of its bias.
        case norm(weight: String, bias: String?)
        /// Into the output features of another layer, and its bias.
        case features(of: Int)
    }

    /// Indices of the layers.
    let layers: [Int]
    /// The value that they read.
    let input: Value
    /// Nil if nothing can take factors; the layers are still weighed by how strong their inputs are.
    let absorber: Absorber?
    /// For each channel of the input, that of the absorber; several heads may share one.
    let channels: [Int]

    /// The sites of a model, in the order of the graph.
    static func find(_ linears: LinearLayers) -> [ScalingSite] {
        let finder = SiteFinder(linears)
        var order: [Value] = []
        var layers: [Value: [Int]] = [:]
        for (index, input) in linears.inputs.enumerated() {
            if layers[input] == nil { order.append(input) }
            layers[input, default: []].append(index)
        }
        return order.map { input in
            let readers = layers[input] ?? []
            let width = linears.modules[readers[0]].k
            let found = finder.absorber(of: input, readers: readers.count, width: width)
            return ScalingSite(
                layers: readers, input: input, absorber: found?.absorber,
                channels: found?.channels ?? Array(0..<width))
        }
    }
}

/// Looks for what a site's factors can be folded into, by patterns of the graph.
private struct SiteFinder {
    let linears: LinearLayers
    private let producers: [Int]
    private let uses: [Int]
    private let layerOfOutput: [Value: Int]
    /// How many nodes read each parameter.
    private let parameterUses: [String: Int]

    init(_ linears: LinearLayers) {
        self.linears = linears
        producers = linears.graph.producers()
        uses = linears.graph.useCounts()
        layerOfOutput = Dictionary(
            zip(linears.outputs, linears.outputs.indices), uniquingKeysWith: { first, _ in first })
        var counts: [String: Int] = [:]
        for node in linears.graph.nodes where node.op == "parameter" {
            if case .string(let name)? = node.attributes["name"] {
                counts[name, default: 0] += uses[node.result.index]
            }
        }
        parameterUses = counts
    }

    private func node(_ value: Value?) -> Node? {
        value.flatMap { producers[$0.index] < 0 ? nil : linears.graph.nodes[producers[$0.index]] }
    }

    /// The name of a parameter that nothing else uses.
    private func soleParameter(_ value: Value?) -> String? {
        guard let node = node(value), node.op == "parameter",
            case .string(let name)? = node.attributes["name"], parameterUses[name] == 1
        else { return nil }
        return name
    }

    /// The layer that gives a value, if the value is used once and its weight is its own.
    private func soleLayer(_ value: Value?) -> Int? {
        guard let value, let layer = layerOfOutput[value], uses[value.index] == 1,
            soleParameter(node(value)?.operands[1]) != nil
        else { return nil }
        guard let bias = node(value)?.operands.dropFirst(2).first ?? nil else { return layer }
        return soleParameter(bias) == nil ? nil : layer
    }

    func absorber(
        of input: Value, readers: Int, width: Int
    ) -> (absorber: ScalingSite.Absorber, channels: [Int])? {
        // A reader that is no such layer would see the factors.
        guard uses[input.index] == readers, let node = node(input) else { return nil }
        switch node.op {
        case "rms_norm", "layer_norm":
            guard let weight = soleParameter(node.operands[1]) else { return nil }
            let bias = node.operands.count > 2 ? node.operands[2] : nil
            if bias != nil, soleParameter(bias) == nil { return nil }
            return (.norm(weight: weight, bias: soleParameter(bias)), Array(0..<width))
        case "mul":
            // Of act(gate)·up, the factors pass through the product into up.
            guard let layer = node.operands.lazy.compactMap({ soleLayer($0) }).first,
                linears.modules[layer].n == width
            else { return nil }
            return (.features(of: layer), Array(0..<width))
        case "view": return values(node, width)
        default: return nil
        }
    }

    /// Attention is linear in its values: view(transpose(attention(q, k, transpose(view(v))))).
    private func values(
        _ view: Node, _ width: Int
    ) -> (absorber: ScalingSite.Absorber, channels: [Int])? {
        guard let swapped = swapped(view.operands[0]), uses[swapped.index] == 1,
            let attention = node(swapped), attention.op == "scaled_dot_product_attention",
            let heads = linears.graph.type(of: swapped).shape[1].constant,
            let size = linears.graph.type(of: swapped).shape[3].constant, heads * size == width,
            let split = self.swapped(attention.operands[2]), uses[split.index] == 1,
            let unflattened = node(split), unflattened.op == "view",
            linears.graph.type(of: split).shape[3].constant == size,
            let kvHeads = linears.graph.type(of: split).shape[2].constant, heads % kvHeads == 0,
            let layer = soleLayer(unflattened.operands[0]), linears.modules[layer].n == kvHeads * size
        else { return nil }
        let shared = heads / kvHeads
        let channels = (0..<width).map { $0 / size / shared * size + $0 % size }
        return (.features(of: layer), channels)
    }

    /// The operand of a used-once transpose of dimensions 1 and 2 of four.
    private func swapped(_ value: Value?) -> Value? {
        guard let value, uses[value.index] == 1, let node = node(value), node.op == "transpose",
            linears.graph.type(of: value).rank == 4, node.attributes["dim0"] == .int(1),
            node.attributes["dim1"] == .int(2)
        else { return nil }
        return node.operands[0]
    }
}
