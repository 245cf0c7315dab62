public import ApusGraph
public import ApusSupport

/// One rewrite: what to look for, and what to put in its place.
public struct Rule: Sendable {
    let pattern: Pattern
    let build: @Sendable (Match) throws(ApusError) -> Value?

    /// Makes a rule.
    ///
    /// `build` returns the value to use instead of the matched one, or nil to leave it as it is. The rule is also
    /// not applied when a node it builds breaks a constraint of its op (`.mismatch`), or when the types of the
    /// matched value and of its replacement differ.
    public init(_ pattern: Pattern, _ build: @escaping @Sendable (Match) throws(ApusError) -> Value?) {
        self.pattern = pattern
        self.build = build
    }
}

/// What a rule matched, and the means to build its replacement.
public final class Match {
    /// The value that the rule replaces.
    public let root: Value
    let editor: GraphEditor
    private let bindings: Bindings
    private(set) var others: [(old: Value, new: Value)] = []

    init(root: Value, bindings: Bindings, editor: GraphEditor) {
        self.root = root
        self.bindings = bindings
        self.editor = editor
    }

    /// The value captured under `name`, which the pattern must always capture.
    public subscript(name: String) -> Value {
        guard let value = bindings.value(name) else {
            preconditionFailure("the rule's pattern captures no value '\(name)'")
        }
        return value
    }

    /// The value captured under `name`, nil if the operand is absent.
    public func optional(_ name: String) -> Value? { bindings.value(name) }

    /// The number captured under `name`, which the pattern must always capture.
    public func number(_ name: String) -> Double {
        guard let number = bindings.number(name) else {
            preconditionFailure("the rule's pattern captures no number '\(name)'")
        }
        return number
    }

    /// Type of a value.
    public func type(of value: Value) -> TensorType { editor.type(of: value) }

    /// The checkpoint's name of a value, if it has one.
    public func name(of value: Value) -> String? { editor.graph.name(of: value) }

    /// The node that defines a value, if it is of the given op.
    public func producer(of value: Value, _ op: String) -> NodeView? { editor.producer(of: value, op) }

    /// Adds a node with one result.
    /// - Throws: `.mismatch` when a constraint of the op does not hold; the rule is then not applied.
    public func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:], name: String? = nil
    ) throws(ApusError) -> Value {
        try editor.add(op, operands, attributes, name: name)
    }

    /// Adds a node with several results.
    /// - Throws: `.mismatch` when a constraint of the op does not hold; the rule is then not applied.
    public func addNode(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:]
    ) throws(ApusError) -> [Value] {
        try editor.addNode(op, operands, attributes)
    }

    /// Adds a constant.
    public func constant(_ literal: TensorLiteral, name: String? = nil) throws(ApusError) -> Value {
        try editor.constant(literal, name: name)
    }

    /// Replaces one more value, which the pattern matched inside, if the rule is applied.
    ///
    /// The new value must not be computed from anything that uses the old one.
    public func replace(_ old: Value, with new: Value) { others.append((old, new)) }
}
