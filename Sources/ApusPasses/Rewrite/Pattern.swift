import ApusGraph

/// What a rule looks for: a shape of computation, with holes that capture values.
///
/// A pattern is matched from a value upwards, through the nodes that compute it. Every way of matching is tried:
/// operands of commutative ops in both orders, the choices of ``oneOf(_:)`` in turn. A name that occurs twice
/// stands for the same value.
public indirect enum Pattern: Sendable {
    /// Any value, whatever it is.
    case any
    /// Any value, captured.
    case capture(String)
    /// An operand that may be absent, captured if it is there.
    case optional(String)
    /// An operand that is absent.
    case absent
    /// A value computed from parameters and constants alone, captured.
    case weight(String)
    /// A floating-point `constant` or `full` whose elements all are one number, which is captured.
    case number(String)
    /// A floating-point `constant` or `full` whose elements all are this number, up to a relative tolerance.
    case splat(Double, tolerance: Double)
    /// What the pattern matches, captured.
    case named(String, Pattern)
    /// What the pattern matches, if it is used just once.
    case singleUse(Pattern)
    /// What any of the patterns matches; the first that leads to a match counts.
    case oneOf([Pattern])
    /// The first result of a node.
    case node(NodePattern)

    /// A node of the op whose operands match; `condition` looks at its attributes and types.
    public static func op(
        _ name: String, _ operands: Pattern..., where condition: (@Sendable (NodeView) -> Bool)? = nil
    ) -> Pattern {
        .node(NodePattern(op: name, operands: operands, condition: condition))
    }

    /// A floating-point constant equal to `value` up to what FP32 rounding makes of it.
    public static func scalar(_ value: Double, tolerance: Double = 1e-6) -> Pattern {
        .splat(value, tolerance: tolerance)
    }

    /// This pattern, for values that are used just once.
    public var once: Pattern { .singleUse(self) }

    /// This pattern, with the value captured.
    public func captured(as name: String) -> Pattern { .named(name, self) }

    /// A product of three factors, multiplied in any order.
    public static func product(_ a: Pattern, _ b: Pattern, _ c: Pattern) -> Pattern {
        .oneOf([
            .op("mul", .op("mul", a, b).once, c),
            .op("mul", .op("mul", a, c).once, b),
            .op("mul", .op("mul", b, c).once, a),
        ])
    }

    /// The ops that the topmost node may have; nil if the pattern does not say.
    var rootOps: [String]? {
        switch self {
        case .node(let node): return [node.op]
        case .named(_, let inner), .singleUse(let inner): return inner.rootOps
        case .oneOf(let choices):
            var ops: [String] = []
            for choice in choices {
                guard let more = choice.rootOps else { return nil }
                ops += more
            }
            return ops
        default: return nil
        }
    }
}

/// A node to match: its op, its operands, and a condition on the rest.
public struct NodePattern: Sendable {
    let op: String
    let operands: [Pattern]
    let condition: (@Sendable (NodeView) -> Bool)?

    /// Ops whose two operands may come in either order.
    static let commutative: Set<String> = ["add", "mul"]
}
