import ApusEngine
import ApusGraph
import ApusSupport

/// Selects a kernel for each node of a lowered graph and lists tensors and steps.
struct PlanBuilder {
    /// A plan, and the weight expression that fills each of its weight regions.
    struct Result {
        let plan: Plan
        let weights: [(value: Value, name: String, type: TensorType)]
    }

    private let graph: Graph
    private let registry: OpRegistry
    private let backend: any Backend
    private let plugins: PluginRegistry
    private let expressions: WeightExpressions
    private var tensors: [Plan.Tensor] = []
    private var indices: [Value: Int] = [:]
    private var weights: [(value: Value, name: String, type: TensorType)] = []
    private var steps: [Plan.Step] = []
    private var unsupported: [String] = []
    private let uses: [Int]

    private init(
        _ graph: Graph, _ registry: OpRegistry, _ backend: any Backend, _ plugins: PluginRegistry,
        _ expressions: WeightExpressions
    ) {
        self.graph = graph
        self.registry = registry
        self.backend = backend
        self.plugins = plugins
        self.expressions = expressions
        uses = graph.useCounts()
    }

    /// Builds the plan.
    /// - Throws: `.unsupported` with every node that no kernel serves.
    static func build(
        _ graph: Graph, registry: OpRegistry, backend: any Backend, plugins: PluginRegistry,
        expressions: WeightExpressions
    ) throws(ApusError) -> Result {
        var builder = PlanBuilder(graph, registry, backend, plugins, expressions)
        return try builder.build()
    }

    private mutating func build() throws(ApusError) -> Result {
        for input in graph.inputs {
            let name = graph.name(of: input) ?? ""
            add(input, .input(name))
        }
        for node in graph.nodes where !node.results.allSatisfy({ expressions[$0] }) { add(node) }
        guard unsupported.isEmpty else {
            throw ApusError(
                .unsupported,
                "\(unsupported.count) node(s) have no kernel:" + unsupported.map { "\n  \($0)" }.joined())
        }
        var outputs: [(name: String, tensor: Int)] = []
        for (position, value) in graph.outputs.enumerated() {
            let name = position == 0 ? Bindings.logits : graph.name(of: value) ?? "output_\(position)"
            outputs.append((name, tensor(of: value)))
        }
        let plan = Plan(symbols: graph.symbols, tensors: tensors, steps: steps, outputs: outputs)
        return Result(plan: plan, weights: weights)
    }

    private mutating func add(_ value: Value, _ storage: Plan.Storage) {
        indices[value] = tensors.count
        let name = graph.name(of: value) ?? "\(value.index)"
        tensors.append(Plan.Tensor(name: name, type: graph.type(of: value), storage: storage))
    }

    /// The tensor of a value; a weight expression gets its region when it is first used.
    private mutating func tensor(of value: Value) -> Int {
        if let index = indices[value] { return index }
        let name = graph.name(of: value) ?? expressions.parameters(of: value).joined(separator: "+")
        add(value, .weight(weights.count))
        weights.append((value, name.isEmpty ? "constant_\(weights.count)" : name, graph.type(of: value)))
        return tensors.count - 1
    }

    private mutating func add(_ node: Node) {
        let operands = node.operands.map { value in value.map { tensor(of: $0) } }
        // A reshape of a dense tensor is the same bytes.
        if node.op == "view" || node.op == "unsqueeze", let source = operands[0] {
            add(node.result, .alias(source))
            return
        }
        var attributes = node.attributes
        for name in registry[node.op]?.attributeDefaults.keys.sorted() ?? [] where attributes[name] == nil {
            attributes[name] = registry[node.op]?.attributeDefaults[name]
        }
        let query = KernelQuery(
            op: node.op, operands: node.operands.map { $0.map { graph.type(of: $0) } },
            results: node.results.map { graph.type(of: $0) }, attributes: attributes)
        let plugin = plugins.newest(computing: node.op)
        var kernel = ""
        switch plugin.map({ backend.choose($0, for: query) }) ?? backend.catalog.choose(query) {
        case .kernel(let name): kernel = name
        case .none(let reason):
            let name = graph.name(of: node.result) ?? "%\(node.result.index)"
            unsupported.append("\(node.op) (\(name)): \(reason)")
        }
        for (position, result) in node.results.enumerated() {
            if let operand = plugin?.inPlace[position] {
                add(result, .alias(state(operand, of: node, operands)))
            } else {
                add(result, .activation)
            }
        }
        steps.append(
            Plan.Step(
                op: node.op, kernel: kernel, operands: operands,
                results: node.results.compactMap { indices[$0] },
                attributes: attributes, plugin: plugin?.id))
    }

    /// The tensor of an operand that a node updates in place.
    private mutating func state(_ operand: Int, of node: Node, _ operands: [Int?]) -> Int {
        guard operand < operands.count, let tensor = operands[operand], let value = node.operands[operand]
        else {
            unsupported.append("\(node.op): operand \(operand), which it updates in place, is absent")
            return 0
        }
        let shared = shared(value)
        if case .weight = tensors[shared.root].storage {
            unsupported.append("\(node.op): updates %\(tensors[tensor].name) in place, which is a weight")
        } else if shared.hasOtherUse {
            unsupported.append(
                "\(node.op): updates %\(tensors[tensor].name) in place, which something else uses too")
        }
        return tensor
    }

    /// The tensor that owns a value's bytes, and whether more than one op uses them, as they are or reshaped.
    private func shared(_ value: Value) -> (root: Int, hasOtherUse: Bool) {
        var (current, hasOtherUse) = (value, uses[value.index] > 1)
        var root = indices[value] ?? 0
        while case .alias(let next) = tensors[root].storage {
            root = next
            let source = graph.nodes.first { $0.results.contains(current) }?.operands.first {
                $0.flatMap { indices[$0] } == next
            }
            guard let source = source ?? nil else { break }
            current = source
            hasOtherUse = hasOtherUse || uses[current.index] > 1
        }
        return (root, hasOtherUse)
    }
}
