import ApusEngine
import ApusGraph
import ApusSupport

/// Selects a kernel for each node of a lowered graph and lists tensors and steps.
///
/// Views become layouts over the memory of their operand. A step that makes a tensor dense, or converts it, is added
/// only where a kernel cannot read it as it lies; several readers share it.
struct PlanBuilder {
    /// A plan, and what fills each of its weight regions.
    struct Result {
        let plan: Plan
        let weights: [Weight]
    }

    /// A weight expression in the form that a kernel reads.
    struct Weight {
        let value: Value
        let name: String
        let type: TensorType
        let packing: (any WeightPacking)?
    }

    /// What was already packed.
    private struct Packed: Hashable {
        let value: Value
        let packing: String
    }

    /// What was already brought into another form.
    private struct Form: Hashable {
        let tensor: Int
        let element: ElementType
        let isBias: Bool
    }

    private let graph: Graph
    private let registry: OpRegistry
    private let backend: any Backend
    private let plugins: PluginRegistry
    private let expressions: WeightExpressions
    /// Position of the last node that uses a value; past the end for outputs.
    private let lastUses: [Int]
    private var tensors: [Plan.Tensor] = []
    private var indices: [Value: Int] = [:]
    /// Values that are, or look at, the memory of a root.
    private var residents: [Int: [Value]] = [:]
    private var forms: [Form: Int] = [:]
    private var packed: [Packed: Int] = [:]
    private var weights: [Weight] = []
    private var steps: [Plan.Step] = []
    private var unsupported: [String] = []

    private init(
        _ graph: Graph, _ registry: OpRegistry, _ backend: any Backend, _ plugins: PluginRegistry,
        _ expressions: WeightExpressions
    ) {
        self.graph = graph
        self.registry = registry
        self.backend = backend
        self.plugins = plugins
        self.expressions = expressions
        var lastUses = [Int](repeating: -1, count: graph.valueCount)
        for (position, node) in graph.nodes.enumerated() {
            for case let value? in node.operands { lastUses[value.index] = position }
        }
        for value in graph.outputs { lastUses[value.index] = graph.nodes.count }
        self.lastUses = lastUses
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
            var type = graph.type(of: input)
            if type.element == .i64 { type.element = Bindings.integerElement }
            add(input, type, .input(graph.name(of: input) ?? ""))
        }
        for (position, node) in graph.nodes.enumerated()
        where !node.results.allSatisfy({ expressions[$0] }) {
            add(node, at: position)
        }
        var outputs: [(name: String, tensor: Int)] = []
        for (position, value) in graph.outputs.enumerated() {
            let name = position == 0 ? Bindings.logits : graph.name(of: value) ?? "output_\(position)"
            let tensor = formed(tensor(of: value), as: graph.type(of: value).element, .dense)
            outputs.append((name, tensor))
        }
        guard unsupported.isEmpty else {
            throw ApusError(
                .unsupported,
                "\(unsupported.count) node(s) have no kernel:" + unsupported.map { "\n  \($0)" }.joined())
        }
        // A symbol that passes have left without use, such as the length of a lifted cache, has no value at run time.
        let plan = Plan(
            symbols: graph.mentioned(graph.symbols), tensors: tensors, steps: steps, outputs: outputs)
        return Result(plan: plan, weights: weights)
    }

    // MARK: Tensors

    private mutating func add(
        _ value: Value, _ type: TensorType, _ storage: Plan.Storage, _ layout: Layout? = nil
    ) {
        let name = graph.name(of: value) ?? "\(value.index)"
        indices[value] = append(Plan.Tensor(name: name, type: type, storage: storage, layout: layout))
        residents[root(of: tensors.count - 1), default: []].append(value)
    }

    private mutating func append(_ tensor: Plan.Tensor) -> Int {
        tensors.append(tensor)
        return tensors.count - 1
    }

    private func root(of tensor: Int) -> Int {
        var current = tensor
        while case .alias(let next) = tensors[current].storage { current = next }
        return current
    }

    /// The tensor of a value; a weight expression gets its region when it is first used.
    private mutating func tensor(of value: Value) -> Int {
        if let index = indices[value] { return index }
        add(value, graph.type(of: value), .weight(weights.count))
        addWeight(value, nil)
        return tensors.count - 1
    }

    private mutating func addWeight(_ value: Value, _ packing: (any WeightPacking)?) {
        let name = graph.name(of: value) ?? expressions.parameters(of: value).joined(separator: "+")
        weights.append(
            Weight(
                value: value, name: name.isEmpty ? "constant_\(weights.count)" : name,
                type: graph.type(of: value), packing: packing))
    }

    /// The element type in which a value is at hand.
    ///
    /// A weight is not laid out yet: its kernel decides how.
    private mutating func storedElement(of value: Value) -> ElementType {
        expressions[value] ? graph.type(of: value).element : tensors[tensor(of: value)].type.element
    }

    /// An operand as a kernel reads it: a stored weight in the kernel's packing, everything else in its form.
    ///
    /// A weight that kernels read in two ways is stored in both.
    private mutating func operand(_ value: Value, as element: ElementType, _ form: OperandForm) -> Int {
        let type = graph.type(of: value)
        guard expressions[value], type.element == element, let packing = form.packing,
            packing.byteCount(of: type) != nil
        else { return formed(tensor(of: value), as: element, form) }
        let key = Packed(value: value, packing: packing.name)
        if let known = packed[key] { return known }
        let tensor = append(
            Plan.Tensor(
                name: graph.name(of: value) ?? "\(value.index)", type: type, storage: .weight(weights.count),
                packing: packing.name))
        addWeight(value, packing)
        packed[key] = tensor
        return tensor
    }

    /// The tensor in an element type and in a form that a kernel reads.
    private mutating func formed(_ tensor: Int, as element: ElementType, _ form: OperandForm) -> Int {
        let source = tensors[tensor]
        let isBias = form.isBias && source.type.element == .bool
        let isReadable =
            source.type.element == element && !isBias && form.accepts(source.layout, source.type)
        if isReadable { return tensor }
        let key = Form(tensor: tensor, element: isBias ? .f32 : element, isBias: isBias)
        if let known = forms[key] { return known }
        let op = isBias ? "mask_bias" : source.type.element == element ? "copy" : "to"
        let type = TensorType(key.element, source.type.shape)
        let suffix = op == "copy" ? "dense" : isBias ? "bias" : element.rawValue
        let result = append(
            Plan.Tensor(name: "\(source.name).\(suffix)", type: type, storage: .activation))
        let attributes: [String: Attribute] = op == "to" ? ["element": .element(element)] : [:]
        let query = KernelQuery(
            op: op, operands: [source.type], results: [type], attributes: attributes)
        switch backend.catalog.choose(query, stored: [source.type.element]) {
        case .kernel(let entry, _):
            steps.append(
                Plan.Step(
                    op: op, kernel: entry.kernel, operands: [tensor], results: [result],
                    attributes: attributes))
        case .none(let reason): unsupported.append("\(op) (\(source.name)): \(reason)")
        }
        forms[key] = result
        return result
    }

    // MARK: Nodes

    private mutating func add(_ node: Node, at position: Int) {
        var attributes = node.attributes
        for (name, value) in registry[node.op]?.attributeDefaults ?? [:] where attributes[name] == nil {
            attributes[name] = value
        }
        let call = Plan.Step(op: node.op, kernel: "", operands: [], results: [], attributes: attributes)
        if addView(node, call) { return }
        let query = KernelQuery(
            op: node.op, operands: node.operands.map { $0.map { graph.type(of: $0) } },
            results: node.results.map { graph.type(of: $0) }, attributes: attributes)
        let plugin = plugins.newest(computing: node.op)
        let stored = node.operands.map { value in value.map { storedElement(of: $0) } }
        switch plugin.map({ backend.choose($0, for: query) }) ?? backend.catalog.choose(query, stored: stored)
        {
        case .kernel(let entry, let types):
            addStep(node, at: position, entry, types, attributes, plugin?.id)
        case .none(let reason):
            let name = graph.name(of: node.result) ?? "%\(node.result.index)"
            unsupported.append("\(node.op) (\(name)): \(reason)")
            for result in node.results { add(result, graph.type(of: result), .activation) }
        }
    }

    private mutating func addStep(
        _ node: Node, at position: Int, _ entry: KernelEntry, _ types: [TensorType?],
        _ attributes: [String: Attribute], _ plugin: PluginID?
    ) {
        var read: [Int?] = []
        for (index, value) in node.operands.enumerated() {
            guard let value, let type = types[index] else {
                read.append(nil)
                continue
            }
            read.append(operand(value, as: type.element, entry.form(index)))
        }
        for (result, operand) in entry.inPlace.sorted(by: { $0.key < $1.key }) {
            guard operand < read.count, let cache = read[operand] else {
                unsupported.append("\(node.op): operand \(operand), which it updates in place, is absent")
                continue
            }
            // A kernel that updates an operand must not read another one from the same memory.
            let isRead = read.indices.contains { index in
                index != operand && read[index].map(root(of:)) == root(of: cache)
            }
            if isRead || mustKeep(cache, after: position) {
                // What a plugin keeps in an operand must be there in the next pass.
                if plugin != nil {
                    var reason = "which something else uses too"
                    if case .weight = tensors[root(of: cache)].storage { reason = "which is a weight" }
                    unsupported.append("\(node.op): updates %\(tensors[cache].name) in place, \(reason)")
                }
                read[operand] = copied(cache)
            }
            guard result < node.results.count, let memory = read[operand] else { continue }
            let value = node.results[result]
            add(value, tensors[memory].type, .alias(memory), tensors[memory].layout)
            // What looked at the memory before has had its last use, or the memory would have been copied.
            residents[root(of: memory)] = [value]
            forms = forms.filter { $0.value != memory }
        }
        for (index, result) in node.results.enumerated() where entry.inPlace[index] == nil {
            let type = graph.type(of: result)
            let order = index == 0 ? entry.resultOrder : nil
            add(result, type, .activation, order.map { .dense(type.shape, order: $0) })
        }
        steps.append(
            Plan.Step(
                op: node.op, kernel: entry.kernel, operands: read,
                results: node.results.compactMap { indices[$0] }, attributes: attributes, plugin: plugin))
    }

    /// Whether memory that a step would change is needed as it is: by a later step, an output or the next pass.
    private func mustKeep(_ tensor: Int, after position: Int) -> Bool {
        let root = root(of: tensor)
        if case .weight = tensors[root].storage { return true }
        return residents[root, default: []].contains { lastUses[$0.index] > position }
    }

    private mutating func copied(_ tensor: Int) -> Int {
        // A copy of its own: others may share a dense form of the same tensor.
        let source = tensors[tensor]
        let result = append(
            Plan.Tensor(name: "\(source.name).copy", type: source.type, storage: .activation))
        let query = KernelQuery(op: "copy", operands: [source.type], results: [source.type], attributes: [:])
        switch backend.catalog.choose(query, stored: [source.type.element]) {
        case .kernel(let entry, _):
            steps.append(
                Plan.Step(
                    op: "copy", kernel: entry.kernel, operands: [tensor], results: [result], attributes: [:]))
        case .none(let reason): unsupported.append("copy (\(source.name)): \(reason)")
        }
        return result
    }

    /// Adds the result of an op that only looks at its operand in another way; returns whether it is one.
    private mutating func addView(_ node: Node, _ call: Plan.Step) -> Bool {
        guard let operand = node.operands.first ?? nil else { return false }
        if node.op == "to" { return addConversion(node, of: operand) }
        let result = graph.type(of: node.result)
        guard ViewRules.ops.contains(node.op) else { return false }
        var source = tensor(of: operand)
        func view(_ source: Plan.Tensor) -> ViewRules.View {
            ViewRules.view(call, source.type.shape, source.layout, result.shape)
        }
        if case .needsCopy = view(tensors[source]) {
            source = formed(
                source, as: tensors[source].type.element, OperandForm { $0.isContiguous($1.shape) })
        }
        guard case .layout(let layout) = view(tensors[source]) else { return false }
        let type = TensorType(tensors[source].type.element, result.shape)
        add(node.result, type, .alias(source), layout)
        return true
    }

    /// A conversion that changes no number is left to the readers: many read the narrower type as it is.
    private mutating func addConversion(_ node: Node, of operand: Value) -> Bool {
        let source = tensor(of: operand)
        let from = tensors[source].type.element
        let to = graph.type(of: node.result).element
        let isExact = from == to || (to == .f32 && from.isFloat) || (to == .i64 && from == .i32)
        guard isExact else { return false }
        add(
            node.result, TensorType(from, graph.type(of: node.result).shape), .alias(source),
            tensors[source].layout)
        return true
    }
}
