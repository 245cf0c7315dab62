import ApusGraph
import ApusSupport

/// The state of an import: the graph so far, and what the names of the program stand for.
final class ImportContext {
    /// A tensor that another tensor of the program is a view of.
    enum Link {
        /// The same tensor under another name, as an in-place operator returns it.
        case same(String)
        /// What the node makes of the tensor, sharing its memory.
        case view(of: String, ExportedNode)
        /// Perhaps a view, perhaps a copy: strides would tell.
        case unclear(String)

        var parent: String {
            switch self {
            case .same(let name), .view(let name, _), .unclear(let name): name
            }
        }
    }

    /// The names of one graph of the program.
    struct Frame {
        let graph: ExportedGraph
        var values: [String: Value] = [:]
        var links: [String: Link] = [:]
        /// Views of a tensor that was written to since: made again when they are used.
        var stale: Set<String> = []
        var producers: [String: ExportedNode] = [:]
    }

    var builder: GraphBuilder
    var symbols: SymbolTable
    let converters: ConverterRegistry
    /// The graph being converted, and those that call it.
    var frames: [Frame]
    /// Inputs of the program that are made when first used: parameters, buffers and constants.
    var inputs: DeferredInputs
    /// Inputs of the program that an operator wrote to.
    var mutated: Set<String> = []
    /// What a reader of the import should know, such as assertions that were not proven.
    var notes: [String] = []
    var unsupported = UnsupportedList()
    private var batchLevels: [Value: [Int]] = [:]

    init(
        name: String, program: ExportedProgram, inputs: DeferredInputs, symbols: SymbolTable,
        converters: ConverterRegistry
    ) {
        self.inputs = inputs
        builder = GraphBuilder(name: name)
        self.symbols = symbols
        self.converters = converters
        frames = [Frame(graph: program.graph)]
    }

    var frame: Frame {
        get { frames[frames.count - 1] }
        set { frames[frames.count - 1] = newValue }
    }

    // MARK: Names

    /// The value that a tensor's name stands for now.
    func value(of name: String) throws(ApusError) -> Value {
        if frame.stale.contains(name) { try renew(name) }
        if let value = frame.values[name] { return value }
        if frames.count == 1, let value = try inputs.value(of: name, &builder) {
            frame.values[name] = value
            return value
        }
        throw ApusError(.invalidInput, "tensor '\(name)' is used, but nothing defines it")
    }

    /// The type that the program gives a tensor.
    func declaredType(of name: String) throws(ApusError) -> TensorType {
        guard let meta = frame.graph.tensors[name] else {
            throw ApusError(.invalidInput, "tensor '\(name)' has no type in tensor_values")
        }
        guard let element = ElementType(torchCode: meta.dtype) else {
            throw ApusError(.unsupported, "element type \(ElementType.torchName(meta.dtype))")
        }
        var shape: [Dimension] = []
        for size in meta.sizes { shape.append(try symbols.dimension(size)) }
        return TensorType(element, shape)
    }

    /// The dimension that an integer argument stands for.
    func dimension(_ reference: ExportedArgument.SizeReference) throws(ApusError) -> Dimension {
        switch reference {
        case .int(let value): return Dimension(value)
        case .name(let name):
            guard let expression = frame.graph.sizes[name] else {
                throw ApusError(.invalidInput, "integer '\(name)' has no value in sym_int_values")
            }
            return try symbols.dimension(expression)
        }
    }

    // MARK: Dimensions that vmap hides

    /// The vmap levels of a value; its first dimensions are those of the levels, in this order.
    func levels(of value: Value) -> [Int] { batchLevels[value] ?? [] }

    func setLevels(of value: Value, to levels: [Int]) { batchLevels[value] = levels.isEmpty ? nil : levels }

    func copyLevels(from value: Value, to other: Value) { batchLevels[other] = batchLevels[value] }

    // MARK: Conversion

    /// Converts the nodes of the graph on top.
    func convertNodes() throws(ApusError) {
        for node in frame.graph.nodes {
            for case let name? in node.resultNames { frame.producers[name] = node }
            if case .symBool(let name)? = node.outputs.first { frame.producers[name] = node }
            do {
                try convert(node)
            } catch {
                guard error.code == .unsupported else {
                    throw error.within("node '\(node.name)' (\(node.target))")
                }
                unsupported.add(node, reason: error.description)
                try bindPlaceholders(node)
            }
        }
    }

    private func convert(_ node: ExportedNode) throws(ApusError) {
        let call = OperatorCall(node: node, context: self)
        if let converter = converters[node.target] {
            let results = try converter(call)
            try bind(results, to: node)
            return
        }
        guard let functional = InPlace.functionalTarget(of: node.target),
            let converter = converters[functional],
            let written = node.inputs.first, case .tensor(let name) = written.value
        else {
            unsupported.add(node, reason: nil)
            return try bindPlaceholders(node)
        }
        guard let result = try converter(call).first else {
            throw ApusError(.internal, "the converter of '\(functional)' gives no result")
        }
        let old = builder.type(of: try value(of: name))
        let new = try call.expanded(try call.converted(result, to: old.element), old.shape)
        try write(new, to: name)
        guard let output = node.resultNames.first.flatMap({ $0 }) else { return }
        frame.values[output] = new
        frame.links[output] = .same(name)
    }

    private func bind(_ results: [Value], to node: ExportedNode) throws(ApusError) {
        let names = node.resultNames
        for (index, value) in results.enumerated() where index < names.count {
            guard let name = names[index] else { continue }
            frame.values[name] = value
            builder.name(value, name)
            if levels(of: value).isEmpty { try checkType(of: value, name) }
            frame.links[name] = ViewOperators.link(node, frame.graph)
        }
    }

    /// Compares what was derived with what the exporter recorded: a converter that is wrong about a type shows here.
    private func checkType(of value: Value, _ name: String) throws(ApusError) {
        guard frame.graph.tensors[name] != nil else { return }
        let (got, expected) = (builder.type(of: value), try declaredType(of: name))
        guard got.element == expected.element, got.rank == expected.rank,
            zip(got.shape, expected.shape).allSatisfy({ symbols.agree($0, $1) })
        else {
            throw ApusError(
                .mismatch, "result '\(name)': the program says \(expected), the import gives \(got)")
        }
    }

    /// Gives the results of a node that could not be converted some value of their type, so that the rest of the
    /// program is looked at too; the import fails at its end.
    private func bindPlaceholders(_ node: ExportedNode) throws(ApusError) {
        for case let name? in node.resultNames {
            guard let type = try? declaredType(of: name) else { throw unsupported.error }
            let attributes: [String: Attribute] = [
                "shape": .dimensions(type.shape), "value": .float(0), "element": .element(type.element),
            ]
            frame.values[name] = try builder.add("full", [], attributes)
        }
    }

    // MARK: Writing in place

    /// Makes `new` the value of a tensor, of what it is a view of, and of all views of that.
    func write(_ new: Value, to name: String) throws(ApusError) {
        var (current, value) = (name, new)
        var path: Set<String> = [name]
        frame.values[name] = new
        while let link = frame.links[current] {
            switch link {
            case .same: break
            case .view(let parent, let node):
                value = try ViewOperators.write(
                    value, into: try self.value(of: parent), through: OperatorCall(node: node, context: self))
            case .unclear(let parent):
                throw ApusError(
                    .unsupported,
                    "writes to '\(current)', which may be a view of '\(parent)' or a copy; export the decomposed form"
                )
            }
            current = link.parent
            path.insert(current)
            frame.values[current] = value
            frame.stale.remove(current)
        }
        if frames.count == 1 { mutated.insert(current) }
        frame.stale.formUnion(frame.links.keys.filter { !path.contains($0) && root(of: $0) == current })
    }

    private func root(of name: String) -> String {
        var current = name
        while let link = frame.links[current] { current = link.parent }
        return current
    }

    /// Makes a view again of a tensor that was written to.
    private func renew(_ name: String) throws(ApusError) {
        guard let link = frame.links[name] else { return }
        frame.stale.remove(name)
        switch link {
        case .same(let parent): frame.values[name] = try value(of: parent)
        case .view(_, let node):
            let results = try converters[node.target]?(OperatorCall(node: node, context: self)) ?? []
            for (result, resultName) in zip(results, node.resultNames) where resultName == name {
                frame.values[name] = result
            }
        case .unclear(let parent):
            throw ApusError(
                .unsupported,
                "uses '\(name)', which may be a view of '\(parent)' or a copy, after a write; export the decomposed form"
            )
        }
    }
}

/// Calls that are not supported, by operator and reason.
struct UnsupportedList {
    private var order: [String] = []
    private var nodes: [String: [String]] = [:]

    var isEmpty: Bool { order.isEmpty }

    mutating func add(_ node: ExportedNode, reason: String?) {
        let key = node.target + (reason.map { ": \($0)" } ?? "")
        if nodes[key] == nil { order.append(key) }
        nodes[key, default: []].append(node.name)
    }

    /// One error with all of them, and the names of the first nodes of each.
    var error: ApusError {
        let lines = order.map { key -> String in
            let names = nodes[key] ?? []
            let shown = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
            return "\n  \(key): \(names.count) node\(names.count == 1 ? "" : "s") (\(shown))"
        }
        return ApusError(
            .unsupported,
            "the program has operators that are not supported; register a converter for each (ConverterRegistry), or "
                + "export another form:" + lines.joined())
    }
}
