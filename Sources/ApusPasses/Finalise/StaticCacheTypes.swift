import ApusGraph
import ApusSupport

/// Stores static caches in another element type, converting where rows go in and where they come out.
///
///     %n = cat(slice(%c), %k, slice(%c)) ; %y = attention(%q, slice(%n), …) ; %s = matmul(%a, slice(%n))
///         →     %n = cat(slice(%c), to(%k), slice(%c)) ; %y = attention(%q, slice(%n), …)
///               %s = matmul(%a, to(slice(%n)))
///
/// `kv_update` converts by itself, and attention reads keys and values of any floating-point type.
struct StaticCacheTypes {
    let element: ElementType
    /// The values that hold rows of a cache.
    private var stored: Set<Value> = []
    /// Stored values as the type they had before, by value.
    private var widened: [Value: Value] = [:]
    private var nodes: [Node] = []

    /// Ops that give rows of their first operand.
    private static let moves: Set<String> = [
        "slice", "transpose", "permute", "view", "unsqueeze", "expand", "kv_update",
    ]

    /// Changes the type of every static cache of a graph, outputs included.
    static func assign(_ element: ElementType, _ graph: inout Graph) {
        let caches = StaticCache.inputs(of: graph).filter { graph.type(of: $0).element != element }
        guard !caches.isEmpty else { return }
        var types = StaticCacheTypes(element: element)
        for cache in caches { types.store(cache, &graph) }
        types.nodes.reserveCapacity(graph.nodes.count)
        for node in graph.nodes { types.add(node, &graph) }
        graph.nodes = types.nodes
    }

    private init(element: ElementType) { self.element = element }

    private mutating func store(_ value: Value, _ graph: inout Graph) {
        graph.setType(of: value, to: TensorType(element, graph.type(of: value).shape))
        stored.insert(value)
    }

    private func isStored(_ value: Value?) -> Bool { value.map(stored.contains) ?? false }

    private mutating func add(_ node: Node, _ graph: inout Graph) {
        var node = node
        if node.op == "cat", node.operands.contains(where: isStored) {
            node.operands = node.operands.map { operand in
                operand.map { isStored($0) ? $0 : convert($0, to: element, &graph) }
            }
            store(node.result, &graph)
        } else if Self.moves.contains(node.op), isStored(node.operands.first ?? nil) {
            store(node.result, &graph)
        } else if !readsAnyType(node) {
            for (index, operand) in node.operands.enumerated() {
                guard let operand, isStored(operand) else { continue }
                let wide = widened[operand] ?? convert(operand, to: .f32, &graph)
                widened[operand] = wide
                node.operands[index] = wide
            }
        }
        nodes.append(node)
    }

    /// Whether the kernel of a node takes stored keys and values as they are.
    private func readsAnyType(_ node: Node) -> Bool {
        (node.op == "attention" || node.op == "scaled_dot_product_attention")
            && isStored(node.operands[1]) && isStored(node.operands[2]) && !isStored(node.operands[0])
            && !(node.operands.count > 3 && isStored(node.operands[3]))
    }

    private mutating func convert(_ value: Value, to element: ElementType, _ graph: inout Graph) -> Value {
        let result = graph.makeValue(TensorType(element, graph.type(of: value).shape))
        nodes.append(
            Node(op: "to", operands: [value], attributes: ["element": .element(element)], results: [result]))
        return result
    }
}
