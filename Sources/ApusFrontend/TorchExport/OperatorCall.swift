public import ApusGraph
public import ApusSupport

/// One call of an operator during an import: its arguments by name, and a way to add nodes to the graph.
///
/// Arguments that equal the default of the operator's schema are not in the archive: each reader takes the default.
public struct OperatorCall {
    let node: ExportedNode
    let context: ImportContext

    /// The operator, as in `aten.view.default`.
    public var target: String { node.target }

    /// The name of the node in the program.
    public var name: String { node.name }

    /// The argument of that name; nil if it was left out.
    func argument(_ name: String) -> ExportedArgument? {
        node.inputs.first { $0.name == name }?.value
    }

    /// An error about this call that is listed with all others of its kind.
    public func unsupported(_ message: String) -> ApusError { ApusError(.unsupported, message) }

    private func unexpected(_ name: String, _ expected: String) -> ApusError {
        let got = argument(name)?.kind ?? "nothing"
        return ApusError(.unsupported, "argument '\(name)': expected \(expected), got \(got)")
    }

    // MARK: Tensors

    /// A tensor argument that must be there; a number in its place becomes a scalar.
    public func tensor(_ name: String) throws(ApusError) -> Value {
        guard let value = try optionalTensor(name) else { throw unexpected(name, "a tensor") }
        return value
    }

    /// A tensor argument that may be None or left out.
    public func optionalTensor(_ name: String) throws(ApusError) -> Value? {
        switch argument(name) {
        case nil, .none?: return nil
        case .tensor(let tensor)?:
            let value = try context.value(of: tensor)
            guard context.levels(of: value).isEmpty else {
                throw unsupported("'\(target)' of a tensor inside vmap")
            }
            return value
        case .int(let number)?: return context.builder.scalar(Double(number), .i64)
        case .float(let number)?: return context.builder.scalar(number)
        case .bool(let flag)?: return context.builder.scalar(flag ? 1 : 0, .bool)
        default: throw unexpected(name, "a tensor")
        }
    }

    /// A list of tensors.
    public func tensors(_ name: String) throws(ApusError) -> [Value] {
        var values: [Value] = []
        for value in try optionalTensors(name) {
            guard let value else { throw unsupported("argument '\(name)': None among the tensors") }
            values.append(value)
        }
        return values
    }

    /// A list of tensors; nil where it has None.
    public func optionalTensors(_ name: String) throws(ApusError) -> [Value?] {
        guard case .tensors(let names)? = argument(name) else { throw unexpected(name, "a list of tensors") }
        var values: [Value?] = []
        for name in names {
            guard let name else {
                values.append(nil)
                continue
            }
            values.append(try context.value(of: name))
        }
        return values
    }

    // MARK: Numbers

    /// An integer that must be constant.
    public func int(_ name: String, default fallback: Int? = nil) throws(ApusError) -> Int {
        switch argument(name) {
        case nil, .none?: if let fallback { return fallback }
        case .int(let value)?: return value
        case .symInt(let reference)?:
            if let value = try context.dimension(reference).constant { return value }
        default: break
        }
        throw unexpected(name, "a constant integer")
    }

    /// An integer that may be symbolic; nil if it is None or left out.
    public func size(_ name: String) throws(ApusError) -> Dimension? {
        switch argument(name) {
        case nil, .none?: return nil
        case .int(let value)?: return Dimension(value)
        case .symInt(let reference)?: return try context.dimension(reference)
        default: throw unexpected(name, "an integer")
        }
    }

    /// A list of integers, some of which may be symbolic; nil if it is None or left out.
    public func sizes(_ name: String) throws(ApusError) -> [Dimension]? {
        switch argument(name) {
        case nil, .none?: return nil
        case .int(let value)?: return [Dimension(value)]
        case .symInts(let references)?:
            var list: [Dimension] = []
            for reference in references { list.append(try context.dimension(reference)) }
            return list
        default: throw unexpected(name, "a list of integers")
        }
    }

    /// A list of constant integers; nil if it is None or left out.
    public func ints(_ name: String) throws(ApusError) -> [Int]? {
        guard let list = try sizes(name) else { return nil }
        var result: [Int] = []
        for size in list {
            guard let value = size.constant else { throw unexpected(name, "constant integers") }
            result.append(value)
        }
        return result
    }

    /// A number that must be constant; nil if it is None or left out.
    public func number(_ name: String) throws(ApusError) -> Double? {
        switch argument(name) {
        case nil, .none?: return nil
        case .int(let value)?: return Double(value)
        case .float(let value)?: return value
        case .bool(let value)?: return value ? 1 : 0
        default: throw unexpected(name, "a number")
        }
    }

    /// A truth value.
    public func bool(_ name: String, default fallback: Bool) throws(ApusError) -> Bool {
        switch argument(name) {
        case nil, .none?: return fallback
        case .bool(let value)?: return value
        default: throw unexpected(name, "a bool")
        }
    }

    /// A string.
    public func string(_ name: String, default fallback: String) throws(ApusError) -> String {
        switch argument(name) {
        case nil, .none?: return fallback
        case .string(let value)?: return value
        default: throw unexpected(name, "a string")
        }
    }

    /// A dtype; nil if it is None or left out.
    public func elementType(_ name: String) throws(ApusError) -> ElementType? {
        switch argument(name) {
        case nil, .none?: return nil
        case .dtype(let code)?:
            guard let element = ElementType(torchCode: code) else {
                throw unsupported("element type \(ElementType.torchName(code))")
            }
            return element
        default: throw unexpected(name, "a dtype")
        }
    }

    // MARK: Results and nodes

    /// The type that the program gives the result at `index`.
    public func resultType(_ index: Int = 0) throws(ApusError) -> TensorType {
        let names = node.resultNames
        guard index < names.count, let name = names[index] else {
            throw ApusError(.internal, "'\(target)' has no result \(index)")
        }
        return try context.declaredType(of: name)
    }

    /// The type of a value.
    public func type(of value: Value) -> TensorType { context.builder.type(of: value) }

    /// Adds a node with one result.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    public func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:]
    ) throws(ApusError) -> Value {
        try context.builder.add(op, operands, attributes)
    }

    /// Adds a node with any number of results.
    public func addNode(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:]
    ) throws(ApusError) -> [Value] {
        try context.builder.addNode(op, operands, attributes)
    }

    /// Adds a scalar constant.
    public func scalar(_ value: Double, _ element: ElementType) -> Value {
        context.builder.scalar(value, element)
    }

    /// A value converted to an element type; itself if it has that type.
    public func converted(_ value: Value, to element: ElementType) throws(ApusError) -> Value {
        if type(of: value).element == element { return value }
        let result = try add("to", [value], ["element": .element(element)])
        context.copyLevels(from: value, to: result)
        return result
    }

    /// A value in another shape of the same number of elements; itself if it has that shape.
    public func reshaped(_ value: Value, _ shape: [Dimension]) throws(ApusError) -> Value {
        type(of: value).shape == shape ? value : try add("view", [value], ["shape": .dimensions(shape)])
    }

    /// A value repeated along dimensions of size 1 to a shape; itself if it has that shape.
    public func expanded(_ value: Value, _ shape: [Dimension]) throws(ApusError) -> Value {
        type(of: value).shape == shape ? value : try add("expand", [value], ["shape": .dimensions(shape)])
    }

    /// A dimension index counted from the front; `rank` may be one more than the tensor's for a new dimension.
    public func axis(_ index: Int, rank: Int) throws(ApusError) -> Int {
        let wrapped = index < 0 ? index + rank : index
        guard (0..<max(rank, 1)).contains(wrapped) else {
            throw ApusError(.invalidInput, "dimension \(index) is out of range for rank \(rank)")
        }
        return wrapped
    }
}
