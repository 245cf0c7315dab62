/// A compile-time argument of an operation.
public enum Attribute: Sendable, Hashable {
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    /// One symbolic dimension, such as the end of a slice; a constant is written as `int`.
    case dimension(Dimension)
    /// A list of integers or symbolic dimensions, such as the shape of a view.
    case dimensions([Dimension])
    case floats([Double])
    case element(ElementType)
    case literal(TensorLiteral)

    /// The name of the attribute's kind, as error messages say it.
    public var kind: AttributeKind {
        switch self {
        case .bool: .bool
        case .int: .int
        case .float: .float
        case .string: .string
        case .dimension: .dimension
        case .dimensions: .dimensions
        case .floats: .floats
        case .element: .element
        case .literal: .literal
        }
    }

    /// A size that may be symbolic: `int` if it is constant, else `dimension`.
    public static func size(_ value: Dimension) -> Attribute {
        value.constant.map(Attribute.int) ?? .dimension(value)
    }
}

/// The kinds of attribute that an op can ask for.
public enum AttributeKind: String, Sendable, Hashable {
    case bool, int, float, string, dimension, dimensions, floats, element, literal
}

/// A small constant tensor written in the graph itself.
///
/// Numbers are kept as `Double`, which holds every value of every element type but large `i64` exactly.
public struct TensorLiteral: Sendable, Hashable {
    /// Element type and constant shape.
    public let type: TensorType
    /// The elements, row-major; one element stands for all of them (a splat).
    public let values: [Double]

    /// Makes a literal; `values` has one element a position, or a single one for all.
    public init(_ type: TensorType, _ values: [Double]) {
        self.type = type
        self.values = values
    }
}

extension Attribute: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral
{
    /// A boolean attribute.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An integer attribute.
    public init(integerLiteral value: Int) { self = .int(value) }
    /// A floating-point attribute.
    public init(floatLiteral value: Double) { self = .float(value) }
    /// A string attribute.
    public init(stringLiteral value: String) { self = .string(value) }
}
