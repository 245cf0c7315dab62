public import ApusSupport

/// What an op is: its operands, attributes, and the rule that derives its result types and checks it.
///
/// Each op has one file in `Ops/`; the constraints are labelled `C1`, `C2`, … and a diagnostic cites them as
/// `rms_norm.C2`.
public struct OpSpec: Sendable {
    /// Which level of the graph an op belongs to.
    public enum Level: String, Sendable {
        /// What an importer or a family definition builds.
        case aten
        /// What a kernel runs.
        case engine
        /// Both.
        case any
    }

    /// How often an operand occurs.
    public enum Arity: Sendable { case one, optional, variadic }

    /// One operand of an op.
    public struct Operand: Sendable, Hashable {
        let name: String
        let arity: Arity

        /// An operand that must be there.
        public static func one(_ name: String) -> Operand { Operand(name: name, arity: .one) }
        /// An operand that may be absent.
        public static func optional(_ name: String) -> Operand { Operand(name: name, arity: .optional) }
        /// One or more operands, last in the list.
        public static func variadic(_ name: String) -> Operand { Operand(name: name, arity: .variadic) }
    }

    /// One attribute of an op.
    public struct AttributeRule: Sendable, Hashable {
        let name: String
        let kind: AttributeKind
        let fallback: Attribute?

        /// An attribute that must be there.
        public static func required(_ name: String, _ kind: AttributeKind) -> AttributeRule {
            AttributeRule(name: name, kind: kind, fallback: nil)
        }
        /// An attribute with a value to use when it is left out.
        public static func optional(_ name: String, _ fallback: Attribute) -> AttributeRule {
            AttributeRule(name: name, kind: fallback.kind, fallback: fallback)
        }
        /// A size, constant or symbolic; without a fallback it must be there.
        public static func size(_ name: String, _ fallback: Int? = nil) -> AttributeRule {
            AttributeRule(name: name, kind: .dimension, fallback: fallback.map(Attribute.int))
        }
    }

    /// The op's name in text, such as `rms_norm`.
    public let name: String
    /// The level the op belongs to.
    public let level: Level
    /// One sentence or formula that says what the op computes.
    public let summary: String
    /// The operands in order.
    public let operands: [Operand]
    /// The attributes in the order they are printed.
    public let attributes: [AttributeRule]
    /// Derives the result types, reporting every constraint that does not hold; nil if a type cannot be derived.
    public let infer: @Sendable (OpChecker) -> [TensorType]?

    /// Declares an op.
    public init(
        _ name: String, _ level: Level, _ summary: String, operands: [Operand],
        attributes: [AttributeRule] = [],
        infer: @escaping @Sendable (OpChecker) -> [TensorType]?
    ) {
        self.name = name
        self.level = level
        self.summary = summary
        self.operands = operands
        self.attributes = attributes
        self.infer = infer
    }

    /// Whether another spec takes the same operands and attributes.
    public func hasSameInterface(as other: OpSpec) -> Bool {
        operands == other.operands && attributes == other.attributes
    }

    /// The values that attributes have when they are left out.
    public var attributeDefaults: [String: Attribute] {
        Dictionary(
            attributes.compactMap { rule in rule.fallback.map { (rule.name, $0) } },
            uniquingKeysWith: { first, _ in first })
    }

    /// The value an attribute has on a node: its own, or the spec's default.
    public func attribute(_ name: String, of node: Node) -> Attribute? {
        node.attributes[name] ?? attributes.first { $0.name == name }?.fallback
    }
}

/// One problem that the verifier found, with its label.
public struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    /// The constraint that does not hold, such as `rms_norm.C2` or `graph.undefined-value`.
    public let label: String
    /// The node or value, as the printer writes it.
    public let place: String
    /// What is wrong: what, expected, got.
    public let message: String

    /// Makes a diagnostic.
    public init(label: String, place: String, message: String) {
        self.label = label
        self.place = place
        self.message = message
    }

    /// `label at place: message`.
    public var description: String { "\(label) at \(place): \(message)" }
}

/// What an op's rule sees of a node: operand types and attributes; it collects what is wrong.
public final class OpChecker: AttributeReader {
    /// The op's spec.
    public let spec: OpSpec
    /// Operand types in order; nil where an optional operand is absent.
    public let operands: [TensorType?]
    /// The result types that the node declares; empty while it is being built.
    public let declared: [TensorType]
    private let given: [String: Attribute]
    /// Labels and messages of the constraints that do not hold.
    public private(set) var problems: [(label: String, message: String)] = []

    /// Prepares the check of one node, comparing operands and attributes with the spec.
    public init(
        spec: OpSpec, operands: [TensorType?], attributes: [String: Attribute], declared: [TensorType] = []
    ) {
        self.spec = spec
        self.operands = operands
        self.declared = declared
        given = attributes
        checkOperands()
        checkAttributes()
    }

    /// Whether operands and attributes have the number and kinds that the spec asks for.
    public var isWellFormed: Bool { problems.isEmpty }

    private func checkOperands() {
        var position = 0
        for operand in spec.operands {
            switch operand.arity {
            case .one:
                if position >= operands.count || operands[position] == nil {
                    fail("operands", "operand '\(operand.name)' is missing")
                }
                position += 1
            case .optional:
                position += 1
            case .variadic:
                if position >= operands.count { fail("operands", "expected at least one '\(operand.name)'") }
                if operands.dropFirst(position).contains(where: { $0 == nil }) {
                    fail("operands", "'none' among '\(operand.name)'")
                }
                position = Int.max - 1
            }
        }
        if operands.count > position {
            fail("operands", "expected at most \(spec.operands.count) operands, got \(operands.count)")
        }
    }

    private func checkAttributes() {
        for rule in spec.attributes {
            if let value = given[rule.name] {
                let isWidening =
                    (rule.kind == .float || rule.kind == .dimension) && value.kind == .int
                let isEmptyList = rule.kind == .floats && value == .dimensions([])
                if value.kind != rule.kind && !isWidening && !isEmptyList {
                    fail(
                        "attributes",
                        "attribute '\(rule.name)': expected \(rule.kind.rawValue), got \(value.kind.rawValue)"
                    )
                }
            } else if rule.fallback == nil {
                fail("attributes", "attribute '\(rule.name)' (\(rule.kind.rawValue)) is missing")
            }
        }
        for name in given.keys.sorted() where !spec.attributes.contains(where: { $0.name == name }) {
            fail("attributes", "unknown attribute '\(name)'")
        }
    }

    /// Reports that the constraint `label` does not hold.
    public func fail(_ label: String, _ message: String) { problems.append((label, message)) }

    /// Reports `message` under `label` unless `condition` holds.
    public func require(_ condition: Bool, _ label: String, _ message: @autoclosure () -> String) {
        if !condition { fail(label, message()) }
    }

    /// The type of the operand at `index`; only after `isWellFormed`.
    public subscript(index: Int) -> TensorType { operands[index] ?? TensorType(.f32, [Dimension]()) }

    /// The type of an optional operand, nil if absent.
    public func optional(_ index: Int) -> TensorType? { index < operands.count ? operands[index] : nil }

    /// An attribute of the node, or the spec's default.
    public func attribute(_ name: String) -> Attribute? {
        given[name] ?? spec.attributes.first { $0.name == name }?.fallback
    }

    /// A dimension index attribute made non-negative: -1 is the last; reports `label` when out of range.
    public func axis(_ name: String, rank: Int, _ label: String) -> Int? {
        let axis = int(name)
        let wrapped = axis < 0 ? axis + rank : axis
        guard wrapped >= 0, wrapped < rank else {
            fail(label, "\(name) \(axis) is out of range for rank \(rank)")
            return nil
        }
        return wrapped
    }
}

/// The ops that a graph may use, by name.
///
/// The standard registry holds the ops of `Ops/`; plugins add their own.
public struct OpRegistry: Sendable {
    private var specs: [String: OpSpec]

    /// A registry of the given ops.
    public init(_ specs: [OpSpec]) {
        self.specs = Dictionary(specs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The spec of an op.
    public subscript(name: String) -> OpSpec? { specs[name] }

    /// All specs, sorted by name.
    public var all: [OpSpec] { specs.values.sorted { $0.name < $1.name } }

    /// Adds an op; a name that is taken is an error.
    public mutating func register(_ spec: OpSpec) throws(ApusError) {
        guard specs[spec.name] == nil else {
            throw ApusError(.invalidInput, "op '\(spec.name)' is already registered; choose another name")
        }
        specs[spec.name] = spec
    }
}
