extension Graph {
    /// The text form of the graph; ``init(parsing:source:)`` reads it back.
    public func text(registry: OpRegistry = .standard) -> String {
        let names = ValueNames(self)
        let header = inputs.map { "\(names[$0]): \(type(of: $0))" }.joined(separator: ", ")
        var lines = ["graph @\(name)(\(header))"]
        if !symbols.isEmpty {
            lines.append("    where \(symbols.map(\.description).joined(separator: ", "))")
        }
        lines[lines.count - 1] += " {"
        for node in nodes { lines.append("  " + text(of: node, names, registry)) }
        lines.append("  return \(outputs.map { names[$0] }.joined(separator: ", "))")
        lines.append("}")
        return lines.joined(separator: "\n") + "\n"
    }

    private func text(of node: Node, _ names: ValueNames, _ registry: OpRegistry) -> String {
        let results = node.results.map { names[$0] }.joined(separator: ", ")
        let operands = node.operands.map { $0.map { names[$0] } ?? "none" }.joined(separator: ", ")
        let types = node.results.map { type(of: $0).description }.joined(separator: ", ")
        // The spec's order first, then anything it does not know, by name.
        let known = registry[node.op]?.attributes.map(\.name) ?? []
        let order =
            known.filter { node.attributes[$0] != nil }
            + node.attributes.keys.filter { !known.contains($0) }.sorted()
        let list = order.compactMap { key in node.attributes[key].map { "\(key) = \($0.text)" } }
        let attributes = list.isEmpty ? "" : " {\(list.joined(separator: ", "))}"
        return "\(results) = \(node.op)(\(operands))\(attributes) : \(types)"
    }
}

extension Attribute {
    /// Attributes as graphs write them, by name: `{a = 1, b = "x"}`; ``parse(_:source:)`` reads them back.
    public static func text(of attributes: [String: Attribute]) -> String {
        let list = attributes.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value.text)" }
        return "{\(list.joined(separator: ", "))}"
    }

    /// The text form.
    public var text: String {
        switch self {
        case .bool(let value): value ? "true" : "false"
        case .int(let value): "\(value)"
        case .float(let value): Self.text(value)
        case .string(let value): Self.quoted(value)
        case .dimension(let value): value.description
        case .dimensions(let list): "[\(list.map(\.description).joined(separator: ", "))]"
        case .floats(let list): "[\(list.map(Self.text).joined(separator: ", "))]"
        case .element(let type): type.rawValue
        case .literal(let literal):
            "dense<[\(literal.values.map(Self.text).joined(separator: ", "))]> : \(literal.type)"
        }
    }

    /// A double with a point or exponent, so that it never reads as an integer.
    private static func text(_ value: Double) -> String { "\(value)" }

    private static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
