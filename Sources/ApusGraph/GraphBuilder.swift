public import ApusSupport

/// Builds a graph node by node; each op's rule derives the result types and refuses what does not fit.
public struct GraphBuilder {
    /// The graph so far.
    public private(set) var graph: Graph
    /// The ops that may be used.
    public let registry: OpRegistry
    /// Path of the module being built, such as `model.layers.0.self_attn`; it prefixes the names of values.
    public var scope: [String] = []

    /// Starts an empty graph.
    public init(name: String, symbols: [Symbol] = [], registry: OpRegistry = .standard) {
        graph = Graph(name: name, symbols: symbols)
        self.registry = registry
    }

    /// Continues a graph, appending nodes at its end.
    public init(_ graph: Graph, registry: OpRegistry = .standard) {
        self.graph = graph
        self.registry = registry
    }

    /// The type of a value.
    public func type(of value: Value) -> TensorType { graph.type(of: value) }

    /// Names a value that has no name yet, within the scope.
    public mutating func name(_ value: Value, _ name: String) {
        if graph.name(of: value) == nil { graph.setName(of: value, to: scoped(name)) }
    }

    /// Adds an input.
    public mutating func input(_ name: String, _ type: TensorType) -> Value { graph.addInput(name, type) }

    /// Adds a weight; `name` is the name the checkpoint has for it, taken as it is.
    public mutating func parameter(_ name: String, _ type: TensorType) -> Value {
        let value = graph.makeValue(type, name: name)
        graph.nodes.append(
            Node(op: "parameter", operands: [], attributes: ["name": .string(name)], results: [value]))
        return value
    }

    /// Adds a small tensor written in the graph.
    public mutating func constant(_ literal: TensorLiteral, name: String? = nil) -> Value {
        let value = graph.makeValue(literal.type, name: name.map(scoped))
        graph.nodes.append(
            Node(op: "constant", operands: [], attributes: ["value": .literal(literal)], results: [value]))
        return value
    }

    /// Adds a scalar constant.
    public mutating func scalar(_ value: Double, _ element: ElementType = .f32) -> Value {
        constant(TensorLiteral(TensorType(element, [Dimension]()), [value]))
    }

    /// Adds a node with one result.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    @discardableResult
    public mutating func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:], name: String? = nil
    ) throws(ApusError) -> Value {
        try addNode(op, operands, attributes, names: [name])[0]
    }

    /// Adds a node with any number of results.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    @discardableResult
    public mutating func addNode(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:], names: [String?] = []
    ) throws(ApusError) -> [Value] {
        let types = try Self.resultTypes(op, operands.map { $0.map(graph.type) }, attributes, registry)
        let results = types.enumerated().map { index, type in
            graph.makeValue(type, name: (index < names.count ? names[index] : nil).map(scoped))
        }
        graph.nodes.append(Node(op: op, operands: operands, attributes: attributes, results: results))
        return results
    }

    /// Derives the result types of an op, or throws with every constraint that does not hold.
    public static func resultTypes(
        _ op: String, _ operands: [TensorType?], _ attributes: [String: Attribute], _ registry: OpRegistry
    ) throws(ApusError) -> [TensorType] {
        guard let spec = registry[op] else { throw ApusError(.unsupported, "unknown op '\(op)'") }
        let checker = OpChecker(spec: spec, operands: operands, attributes: attributes)
        let types = checker.isWellFormed ? spec.infer(checker) : nil
        guard let types, checker.problems.isEmpty else {
            let list = checker.problems.map { "\(op).\($0.label): \($0.message)" }
            throw ApusError(.mismatch, list.joined(separator: "; "))
        }
        return types
    }

    private func scoped(_ name: String) -> String { (scope + [name]).joined(separator: ".") }

    /// Sets the graph's outputs and returns it.
    public consuming func finish(_ outputs: [Value]) -> Graph {
        graph.outputs = outputs
        return graph
    }
}
