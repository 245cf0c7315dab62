/// A handle of one SSA value of a graph.
public struct Value: Sendable, Hashable {
    /// Index into the value table of the graph that owns the value.
    public let index: Int
}

/// One operation: a named op applied to operands, giving results.
public struct Node: Sendable {
    /// Name of the op, as in its ``OpSpec``.
    public var op: String
    /// The operands in the order of the op's spec; nil where an optional one is absent.
    public var operands: [Value?]
    /// Compile-time arguments by name.
    public var attributes: [String: Attribute]
    /// The values this node defines.
    public var results: [Value]

    /// Makes a node; the values it defines are of the graph that will hold it.
    public init(op: String, operands: [Value?], attributes: [String: Attribute], results: [Value]) {
        self.op = op
        self.operands = operands
        self.attributes = attributes
        self.results = results
    }

    /// The first result.
    public var result: Value { results[0] }
}

/// A function over tensors in static single assignment form: inputs, a list of nodes in execution order, outputs.
///
/// A graph is a value: a pass takes one and returns another. Values are handles into a table the graph owns; a
/// handle stays valid while nodes are inserted, replaced and removed.
public struct Graph: Sendable {
    private struct Entry: Sendable {
        var type: TensorType
        var name: String?
    }

    /// The graph's name.
    public var name: String
    /// The symbolic dimensions that types may mention, in the order of declaration.
    public var symbols: [Symbol]
    /// The values given from outside, in order.
    public private(set) var inputs: [Value] = []
    /// The nodes in execution order: operands are defined before they are used.
    public var nodes: [Node] = []
    /// The values the graph returns, in order.
    public var outputs: [Value] = []
    private var table: [Entry] = []

    /// Makes an empty graph.
    public init(name: String, symbols: [Symbol] = []) {
        self.name = name
        self.symbols = symbols
    }

    /// Number of entries in the value table; every handle's index is below it.
    public var valueCount: Int { table.count }

    /// The type of a value.
    public func type(of value: Value) -> TensorType { table[value.index].type }

    /// The name of a value, if it has one of its own.
    public func name(of value: Value) -> String? { table[value.index].name }

    /// Changes a value's type; the caller sees to it that its users agree.
    public mutating func setType(of value: Value, to type: TensorType) { table[value.index].type = type }

    /// Names a value; the printer makes names unique.
    public mutating func setName(of value: Value, to name: String?) { table[value.index].name = name }

    /// Adds a value that no node defines yet.
    public mutating func makeValue(_ type: TensorType, name: String? = nil) -> Value {
        table.append(Entry(type: type, name: name))
        return Value(index: table.count - 1)
    }

    /// Adds an input.
    public mutating func addInput(_ name: String, _ type: TensorType) -> Value {
        let value = makeValue(type, name: name)
        inputs.append(value)
        return value
    }

    /// Removes inputs; nothing may use them any more.
    public mutating func removeInputs(where shouldRemove: (Value) -> Bool) {
        inputs.removeAll(where: shouldRemove)
    }

    /// The input of that name.
    public func input(named name: String) -> Value? { inputs.first { table[$0.index].name == name } }

    /// For each value of the table, the position in ``nodes`` of the node that defines it, or -1.
    public func producers() -> [Int] {
        var result = [Int](repeating: -1, count: table.count)
        for (position, node) in nodes.enumerated() {
            for value in node.results { result[value.index] = position }
        }
        return result
    }

    /// For each value of the table, how often it is used as an operand or as an output.
    public func useCounts() -> [Int] {
        var result = [Int](repeating: 0, count: table.count)
        for node in nodes {
            for case let value? in node.operands { result[value.index] += 1 }
        }
        for value in outputs { result[value.index] += 1 }
        return result
    }

    /// Replaces every use of the mapped values, in operands and outputs, following chains of replacements.
    public mutating func replaceUses(_ replacements: [Value: Value]) {
        guard !replacements.isEmpty else { return }
        func resolve(_ value: Value) -> Value {
            var current = value
            while let next = replacements[current], next != current { current = next }
            return current
        }
        for position in nodes.indices {
            for index in nodes[position].operands.indices {
                if let value = nodes[position].operands[index] {
                    nodes[position].operands[index] = resolve(value)
                }
            }
        }
        outputs = outputs.map(resolve)
    }

    /// The declared symbol of that name.
    public func symbol(named name: String) -> Symbol? { symbols.first { $0.name == name } }

    /// Of a list of symbols, those that types or attributes mention, and those that they are defined by.
    public func mentioned(_ symbols: [Symbol]) -> [Symbol] {
        var used: Set<String> = []
        func add(_ dimensions: [Dimension]) { for size in dimensions { used.formUnion(size.symbols) } }
        for value in inputs + nodes.flatMap(\.results) { add(type(of: value).shape) }
        for attribute in nodes.flatMap(\.attributes.values) {
            switch attribute {
            case .dimension(let size): add([size])
            case .dimensions(let list): add(list)
            default: break
            }
        }
        for symbol in symbols.reversed() where used.contains(symbol.name) {
            used.formUnion(symbol.definition?.symbols ?? [])
        }
        return symbols.filter { used.contains($0.name) }
    }
}
