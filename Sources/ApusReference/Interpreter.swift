public import ApusGraph
public import ApusSupport

/// Runs a graph one op at a time with slow, obvious functions: the truth that all else is checked against.
///
/// Sums are taken in `Double` and each result is rounded to its element type. Weights are converted once and
/// kept, at 4 bytes a number; other values are freed after their last use. An interpreter belongs to one task.
public struct Interpreter {
    /// The graph that is run.
    public let graph: Graph
    private let specs: OpRegistry
    private let functions: ReferenceFunctions
    private let weights: WeightCache
    /// For each node, the values that no later node and no output uses.
    private let deaths: [[Value]]
    private let places: [String]

    /// Prepares a graph.
    /// - Throws: `.internal` with all that the verifier finds, `.unsupported` for an op without a function.
    public init(
        graph: Graph, weights: any WeightSource, registry: OpRegistry = .standard,
        functions: ReferenceFunctions = .standard
    ) throws(ApusError) {
        try graph.verify(registry: registry)
        for node in graph.nodes where functions[node.op] == nil {
            throw ApusError(
                .unsupported, "op '\(node.op)' has no reference function; register one beside its spec")
        }
        self.graph = graph
        self.functions = functions
        specs = registry
        self.weights = WeightCache(weights)
        deaths = Self.deaths(of: graph)
        places = graph.nodes.map { node in
            let name = node.results.first.flatMap { graph.name(of: $0) }
            return name.map { "%\($0) = \(node.op)" } ?? node.op
        }
    }

    /// Computes the graph's outputs.
    ///
    /// The inputs' shapes give the symbols their values.
    /// - Throws: `.notFound` for a missing input, `.mismatch` for a wrong type or shape, `.invalidInput` for an
    ///   unknown input, a symbol out of its range or an index outside a table.
    public func run(_ inputs: [String: Tensor]) throws(ApusError) -> [Tensor] {
        var values = [Tensor?](repeating: nil, count: graph.valueCount)
        let symbols = try bind(inputs, into: &values)
        for (position, node) in graph.nodes.enumerated() {
            let results = try ApusError.within(places[position]) { () throws(ApusError) in
                try evaluate(node, values, symbols)
            }
            for (value, tensor) in zip(node.results, results) { values[value.index] = tensor }
            for value in deaths[position] { values[value.index] = nil }
        }
        return graph.outputs.compactMap { values[$0.index] }
    }

    private func bind(
        _ inputs: [String: Tensor], into values: inout [Tensor?]
    ) throws(ApusError) -> SymbolBinding {
        let names = graph.inputs.map { graph.name(of: $0) ?? "" }
        for name in inputs.keys.sorted() where !names.contains(name) {
            throw ApusError(
                .invalidInput,
                "input '\(name)': the graph has none of that name; it has \(names.joined(separator: ", "))")
        }
        var shapes: [(name: String, type: TensorType, shape: [Int])] = []
        for (value, name) in zip(graph.inputs, names) {
            let type = graph.type(of: value)
            guard let tensor = inputs[name] else {
                throw ApusError(.notFound, "input '\(name)' (\(type)) is missing")
            }
            guard tensor.element == type.element, tensor.shape.count == type.rank else {
                throw ApusError(.mismatch, "input '\(name)': expected \(type), got \(tensor)")
            }
            guard tensor.isComplete else {
                let count = tensor.element.isFloat ? tensor.floats.count : tensor.ints.count
                throw ApusError(.mismatch, "input '\(name)': \(tensor) was given \(count) elements")
            }
            shapes.append((name, type, tensor.shape))
            values[value.index] = tensor
        }
        return try SymbolBinding(graph.symbols, shapes) { name in inputs[name]?.ints.first }
    }

    private func evaluate(
        _ node: Node, _ values: [Tensor?], _ symbols: SymbolBinding
    ) throws(ApusError) -> [Tensor] {
        var shapes: [[Int]] = []
        for value in node.results { shapes.append(try symbols.shape(of: graph.type(of: value))) }
        if node.op == "parameter", case .string(let name)? = node.attributes["name"] {
            return [try weights.tensor(name, graph.type(of: node.result).element, shapes[0])]
        }
        guard let function = functions[node.op], let spec = specs[node.op] else {
            throw ApusError(.internal, "op '\(node.op)' has lost its function")
        }
        let call = ReferenceCall(
            node: node, spec: spec, operands: node.operands.map { $0.flatMap { values[$0.index] } },
            elements: node.results.map { graph.type(of: $0).element }, shapes: shapes,
            evaluate: symbols.value(of:))
        let results = try function(call)
        for (index, value) in node.results.enumerated() {
            guard index < results.count, results[index].isComplete, results[index].shape == shapes[index],
                results[index].element == graph.type(of: value).element
            else {
                let got = index < results.count ? "\(results[index])" : "nothing"
                throw ApusError(
                    .internal, "expected \(graph.type(of: value)) as \(shapes[index]), got \(got)")
            }
        }
        return results
    }

    private static func deaths(of graph: Graph) -> [[Value]] {
        var last = [Int](repeating: -1, count: graph.valueCount)
        for (position, node) in graph.nodes.enumerated() {
            for value in node.results { last[value.index] = position }
            for case let value? in node.operands { last[value.index] = position }
        }
        for value in graph.outputs { last[value.index] = -1 }
        var result = [[Value]](repeating: [], count: graph.nodes.count)
        for (position, node) in graph.nodes.enumerated() {
            let candidates = Set(node.results + node.operands.compactMap { $0 })
            result[position] = candidates.filter { last[$0.index] == position }
        }
        return result
    }
}
