import Apus

/// Finds the decoder layers of a graph and which of them repeat.
///
/// A parameter's layer is the first number in its name, such as 3 in `model.layers.3.mlp.up_proj.weight`. A node
/// belongs to the layer whose weights it uses, else to the one it continues.
struct LayerFolding {
    /// A run of nodes that are drawn together.
    struct Section {
        /// Layers that it stands for; empty before the first and after the last layer.
        let layers: Range<Int>
        /// Positions in the graph's nodes, in order.
        let nodes: [Int]
        /// The nodes of the other layers it stands for, each list in the same order.
        var twins: [[Int]] = []
    }

    /// Everything that is drawn, in order: before the layers, one section for each run of equal layers, the end.
    let sections: [Section]
    /// For each node, whether it depends on weights and constants alone.
    let isWeight: [Bool]

    init(_ graph: Graph) {
        let producers = graph.producers()
        var isWeight = [Bool](repeating: false, count: graph.nodes.count)
        var layers = [Int?](repeating: nil, count: graph.nodes.count)
        /// The layer of the weights that a node itself uses, and whether it uses any.
        var owners = layers
        var usesWeights = isWeight
        let layerCount = Self.layerCount(graph)
        for (position, node) in graph.nodes.enumerated() {
            let sources = node.operands.compactMap { $0 }.map { producers[$0.index] }.filter { $0 >= 0 }
            let isSource = ["parameter", "constant"].contains(node.op)
            isWeight[position] =
                isSource
                || (sources.count == node.operands.compactMap { $0 }.count && !sources.isEmpty
                    && sources.allSatisfy { isWeight[$0] })
            if isWeight[position] {
                layers[position] = isSource ? Self.layer(node) : sources.compactMap { layers[$0] }.max()
                continue
            }
            let weights = sources.filter { isWeight[$0] && graph.nodes[$0].op != "constant" }
            owners[position] = weights.compactMap { layers[$0] }.max()
            usesWeights[position] = !weights.isEmpty
            layers[position] =
                owners[position] ?? sources.filter { !isWeight[$0] }.compactMap { layers[$0] }.max()
        }
        Self.cutTail(graph, producers, isWeight, owners, usesWeights, layerCount, &layers)
        Self.pullIntoUsers(graph, producers, isWeight, owners, usesWeights, &layers)
        self.isWeight = isWeight
        sections = Self.fold(graph, layers, isWeight, layerCount, producers)
    }

    /// The final norm and the head: what uses a weight of no layer, and that no layer uses, with all that follows.
    private static func cutTail(
        _ graph: Graph, _ producers: [Int], _ isWeight: [Bool], _ owners: [Int?], _ usesWeights: [Bool],
        _ layerCount: Int, _ layers: inout [Int?]
    ) {
        var feedsLayer = owners.map { $0 != nil }
        for position in graph.nodes.indices.reversed() where feedsLayer[position] {
            for case let value? in graph.nodes[position].operands where producers[value.index] >= 0 {
                feedsLayer[producers[value.index]] = true
            }
        }
        var isTail = [Bool](repeating: false, count: graph.nodes.count)
        for (position, node) in graph.nodes.enumerated() where !isWeight[position] && !feedsLayer[position] {
            let follows = node.operands.contains { value in
                value.map { producers[$0.index] >= 0 && isTail[producers[$0.index]] } ?? false
            }
            isTail[position] = follows || (usesWeights[position] && layers[position] != nil)
            if isTail[position] { layers[position] = layerCount }
        }
    }

    private static func layer(_ node: Node) -> Int? {
        guard case .string(let name)? = node.attributes["name"] else { return nil }
        return name.split(separator: ".").lazy.compactMap { Int($0) }.first
    }

    private static func layerCount(_ graph: Graph) -> Int {
        (graph.nodes.compactMap(layer).max() ?? -1) + 1
    }

    /// Moves nodes without weights into the layer that alone uses them: a layer's slice of the mask, or the mean
    /// square that the next layer's norm begins with.
    ///
    /// What adds up a layer's result stays in that layer.
    private static func pullIntoUsers(
        _ graph: Graph, _ producers: [Int], _ isWeight: [Bool], _ owners: [Int?], _ usesWeights: [Bool],
        _ layers: inout [Int?]
    ) {
        var users = [[Int]](repeating: [], count: graph.nodes.count)
        for (position, node) in graph.nodes.enumerated() {
            for case let value? in node.operands where producers[value.index] >= 0 {
                users[producers[value.index]].append(position)
            }
        }
        for position in graph.nodes.indices.reversed() where !isWeight[position] && !usesWeights[position] {
            let endsLayer = graph.nodes[position].operands.contains { value in
                value.map { producers[$0.index] >= 0 && owners[producers[$0.index]] != nil } ?? false
            }
            let targets = Set(users[position].map { layers[$0] })
            if !endsLayer, targets.count == 1, let only = targets.first { layers[position] = only }
        }
    }

    private static func fold(
        _ graph: Graph, _ layers: [Int?], _ isWeight: [Bool], _ layerCount: Int, _ producers: [Int]
    ) -> [Section] {
        let drawn = graph.nodes.indices.filter { !isWeight[$0] }
        var members = [[Int]](repeating: [], count: layerCount)
        for position in drawn {
            if let layer = layers[position], layer < layerCount { members[layer].append(position) }
        }
        var sections = [Section(layers: 0..<0, nodes: drawn.filter { layers[$0] == nil })]
        var start = 0
        let shapes = members.map { signature($0, graph, producers) }
        while start < layerCount {
            var end = start + 1
            while end < layerCount, shapes[end] == shapes[start] { end += 1 }
            sections.append(
                Section(
                    layers: start..<end, nodes: members[start], twins: Array(members[(start + 1)..<end])))
            start = end
        }
        sections.append(Section(layers: 0..<0, nodes: drawn.filter { layers[$0] == layerCount }))
        return sections.filter { !$0.nodes.isEmpty }
    }

    /// What a layer computes: ops, attributes, types, and which node of the layer each operand is.
    private static func signature(_ nodes: [Int], _ graph: Graph, _ producers: [Int]) -> [String] {
        let places = Dictionary(
            nodes.enumerated().map { ($0.element, $0.offset) }, uniquingKeysWith: { first, _ in first })
        return nodes.map { position in
            let node = graph.nodes[position]
            let operands = node.operands.map { value -> String in
                guard let value else { return "none" }
                let place = producers[value.index] >= 0 ? places[producers[value.index]] : nil
                return place.map { "#\($0)" } ?? "\(graph.type(of: value))"
            }
            let attributes = node.attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text)" }
            let types = node.results.map { "\(graph.type(of: $0))" }
            return "\(node.op)(\(operands)) \(attributes) \(types)"
        }
    }
}
