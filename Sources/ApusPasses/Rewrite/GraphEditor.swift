import ApusGraph
import ApusSupport

/// A graph being changed: knows each value's producer and number of uses, and keeps both right.
///
/// New nodes go in front of the original node at ``anchor``; ``commit()`` puts all in an order in which values
/// are defined before they are used. A node whose last use goes away is removed with it.
final class GraphEditor {
    /// The graph as it was, with the values made since; its `nodes` are the original ones until ``commit()``.
    private(set) var graph: Graph
    let registry: OpRegistry
    /// Number of nodes the graph had at first.
    let originalCount: Int
    /// Original position in front of which new nodes go.
    var anchor = 0
    /// Whether anything was replaced.
    private(set) var hasChanged = false

    /// Original nodes first, then the new ones; nil when removed.
    private var storage: [Node?]
    /// Anchors of the new nodes, from `originalCount` on.
    private var anchors: [Int] = []
    private var producerIDs: [Int]
    private var uses: [Int]
    private var replacements: [Value: Value] = [:]

    init(_ graph: Graph, registry: OpRegistry) {
        self.graph = graph
        self.registry = registry
        originalCount = graph.nodes.count
        storage = graph.nodes
        producerIDs = graph.producers()
        uses = graph.useCounts()
    }

    // MARK: Reading

    /// Number of nodes ever held, removed ones included; ids are below it.
    var nodeCount: Int { storage.count }

    /// The node of that id, unless it was removed.
    func node(_ id: Int) -> Node? { storage[id] }

    /// What a value has been replaced with, or the value itself.
    func resolve(_ value: Value) -> Value {
        var current = value
        while let next = replacements[current] { current = next }
        return current
    }

    /// The node that defines a value; nil for inputs.
    func producer(of value: Value) -> Node? {
        let id = producerIDs[resolve(value).index]
        return id < 0 ? nil : storage[id]
    }

    /// Position of the node that defines a value, -1 for inputs; an original one's is that in the graph at first.
    func position(of value: Value) -> Int { producerIDs[resolve(value).index] }

    /// A view of the node that defines a value, if it is of the given op and the value is its first result.
    func producer(of value: Value, _ op: String) -> NodeView? {
        let value = resolve(value)
        guard let node = producer(of: value), node.op == op, node.result == value else { return nil }
        return NodeView(node, self)
    }

    /// How often a value is used, as an operand or an output.
    func useCount(_ value: Value) -> Int { uses[resolve(value).index] }

    func type(of value: Value) -> TensorType { graph.type(of: value) }

    /// Whether the value is computed from parameters and constants alone, by moving or dequantizing their elements.
    func isWeight(_ value: Value) -> Bool {
        guard let node = producer(of: value) else { return false }
        if node.op == "parameter" || node.op == "constant" { return true }
        guard weightOps.contains(node.op) || node.op == "dequantize" else { return false }
        return node.operands.allSatisfy { $0.map(isWeight) ?? true }
    }

    /// The one number that all elements of a constant are, if there is one; truth values are no numbers.
    func splat(_ value: Value) -> Double? {
        guard type(of: value).element != .bool, let node = producer(of: value) else { return nil }
        let view = NodeView(node, self)
        switch node.op {
        case "constant": return view.literal("value")?.splat
        case "full": return view.float("value")
        default: return nil
        }
    }

    // MARK: Changing

    /// Adds a node with one result in front of ``anchor``.
    func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:], name: String? = nil
    ) throws(ApusError) -> Value {
        try addNode(op, operands, attributes, names: [name])[0]
    }

    /// Adds a node in front of ``anchor``.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    func addNode(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:], names: [String?] = []
    ) throws(ApusError) -> [Value] {
        let operands = operands.map { $0.map(resolve) }
        let types = try GraphBuilder.resultTypes(op, operands.map { $0.map(type(of:)) }, attributes, registry)
        let results = types.enumerated().map { index, type in
            graph.makeValue(type, name: index < names.count ? names[index] : nil)
        }
        producerIDs += results.map { _ in storage.count }
        uses += results.map { _ in 0 }
        for case let value? in operands { uses[value.index] += 1 }
        storage.append(Node(op: op, operands: operands, attributes: attributes, results: results))
        anchors.append(anchor)
        return results
    }

    /// Adds a small tensor written in the graph.
    func constant(_ literal: TensorLiteral, name: String? = nil) throws(ApusError) -> Value {
        try add("constant", [], ["value": .literal(literal)], name: name)
    }

    /// Adds an input to the graph.
    func addInput(_ name: String, _ type: TensorType) -> Value {
        hasChanged = true
        producerIDs.append(-1)
        uses.append(0)
        return graph.addInput(name, type)
    }

    /// Adds an output at the end.
    func addOutput(_ value: Value) {
        hasChanged = true
        uses[resolve(value).index] += 1
        graph.outputs.append(value)
    }

    /// Declares a symbol, under another name when the graph has one of that name, and returns it as a dimension.
    func declareSymbol(
        _ name: String, _ range: ClosedRange<Int>, _ definition: Symbol.Definition? = nil
    ) -> Dimension {
        var candidate = name
        var suffix = 1
        while graph.symbol(named: candidate) != nil {
            candidate = "\(name)\(suffix)"
            suffix += 1
        }
        graph.symbols.append(Symbol(candidate, range, definition))
        return .symbol(candidate)
    }

    /// Uses `new` wherever `old` was used; a new value without a name takes the old one's.
    func replace(_ old: Value, with new: Value) {
        let (old, new) = (resolve(old), resolve(new))
        guard old != new else { return }
        hasChanged = true
        replacements[old] = new
        uses[new.index] += uses[old.index]
        uses[old.index] = 0
        if graph.name(of: new) == nil { graph.setName(of: new, to: graph.name(of: old)) }
        removeIfUnused(old)
    }

    /// Forgets the nodes added since `nodeCount` was `mark`; nothing else may use them.
    func discard(since mark: Int) {
        for id in mark..<storage.count {
            guard let node = storage[id] else { continue }
            for case let value? in node.operands { uses[value.index] -= 1 }
            storage[id] = nil
        }
    }

    /// Removes the nodes added since `mark` that nothing uses.
    func removeUnused(since mark: Int) {
        for id in (mark..<storage.count).reversed() {
            if let node = storage[id] { removeIfUnused(node.result) }
        }
    }

    private func removeIfUnused(_ value: Value) {
        var work = [value]
        while let value = work.popLast() {
            let id = producerIDs[value.index]
            guard id >= 0, let node = storage[id], node.results.allSatisfy({ uses[$0.index] == 0 }) else {
                continue
            }
            storage[id] = nil
            for case let operand? in node.operands {
                let operand = resolve(operand)
                uses[operand.index] -= 1
                if uses[operand.index] == 0 { work.append(operand) }
            }
        }
    }

    // MARK: Finishing

    /// The changed graph, its nodes in the old order with the new ones at their anchors, moved only as far as
    /// definitions before uses ask for.
    func commit() throws(ApusError) -> Graph {
        guard hasChanged else { return graph }
        var inserted: [Int: [Node]] = [:]
        for (index, anchor) in anchors.enumerated() {
            if let node = storage[originalCount + index] { inserted[anchor, default: []].append(node) }
        }
        var nodes: [Node] = []
        nodes.reserveCapacity(storage.count)
        for position in 0...originalCount {
            nodes += inserted[position] ?? []
            if position < originalCount, let node = storage[position] { nodes.append(node) }
        }
        if !replacements.isEmpty {
            for index in nodes.indices {
                nodes[index].operands = nodes[index].operands.map { $0.map(resolve) }
            }
        }
        graph.nodes = nodes
        graph.outputs = graph.outputs.map(resolve)
        try graph.sortNodes()
        return graph
    }
}

/// Ops that only move the elements of a weight; a chain of them is evaluated when weights are packed.
let weightOps: Set<String> = ["cat", "transpose", "permute", "view", "slice", "unsqueeze", "expand"]

extension Graph {
    /// Moves nodes up just so far that every value is defined before it is used.
    mutating func sortNodes() throws(ApusError) {
        let producers = producers()
        var isPlaced = [Bool](repeating: false, count: nodes.count)
        var order: [Int] = []
        order.reserveCapacity(nodes.count)
        var isOnPath = isPlaced
        for start in nodes.indices where !isPlaced[start] {
            var path = [(node: start, next: 0)]
            isOnPath[start] = true
            while let (node, next) = path.last {
                let operands = nodes[node].operands
                guard next < operands.count else {
                    isPlaced[node] = true
                    isOnPath[node] = false
                    order.append(node)
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                guard let value = operands[next] else { continue }
                let producer = producers[value.index]
                guard producer >= 0, !isPlaced[producer] else { continue }
                guard !isOnPath[producer] else {
                    throw ApusError(.internal, "a rewrite made '\(nodes[producer].op)' depend on itself")
                }
                isOnPath[producer] = true
                path.append((producer, 0))
            }
        }
        if !order.elementsEqual(nodes.indices) { nodes = order.map { nodes[$0] } }
    }
}
