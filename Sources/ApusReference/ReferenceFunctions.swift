public import ApusGraph
public import ApusSupport

/// Computes the results of one op.
public typealias ReferenceFunction = @Sendable (ReferenceCall) throws(ApusError) -> [Tensor]

/// What a reference function sees of its op: operand values, attributes, and the results that are expected.
public struct ReferenceCall: AttributeReader {
    let node: Node
    let spec: OpSpec
    /// The operands in the order of the spec; nil where an optional one is absent.
    public let operands: [Tensor?]
    /// Element types of the results.
    public let elements: [ElementType]
    /// Shapes of the results.
    public let shapes: [[Int]]
    let evaluate: @Sendable (Dimension) -> Int?

    /// An operand that must be there.
    public subscript(index: Int) -> Tensor { operands[index] ?? Tensor(.f32, [0], floats: []) }

    /// An optional operand.
    public func optional(_ index: Int) -> Tensor? { index < operands.count ? operands[index] : nil }

    /// An attribute of the node, or the spec's default.
    public func attribute(_ name: String) -> Attribute? { spec.attribute(name, of: node) }

    /// The value of a size attribute with the symbols of this run.
    public func value(of name: String) throws(ApusError) -> Int {
        guard let value = evaluate(size(name)) else {
            throw ApusError(.mismatch, "\(name) '\(size(name))' has no value with these inputs")
        }
        return value
    }

    /// A dimension index attribute made non-negative: -1 is the last.
    public func axis(_ name: String, rank: Int) -> Int { int(name) < 0 ? int(name) + rank : int(name) }

    /// A floating-point tensor of the element type and shape of the result at `index`.
    public func result(_ floats: [Float], _ index: Int = 0) -> Tensor {
        Tensor(elements[index], shapes[index], floats: floats)
    }

    /// An integer tensor of the element type and shape of the result at `index`.
    public func result(ints: [Int], _ index: Int = 0) -> Tensor {
        Tensor(elements[index], shapes[index], ints: ints)
    }
}

/// The reference functions by op name.
///
/// The standard set holds one for each op of the standard registry; plugins add their own.
public struct ReferenceFunctions: Sendable {
    private var table: [String: ReferenceFunction]

    /// A set of functions.
    public init(_ table: [String: ReferenceFunction]) { self.table = table }

    /// The function of an op.
    public subscript(op: String) -> ReferenceFunction? { op == "parameter" ? Self.none : table[op] }

    /// Parameters are answered by the interpreter, which owns the weights.
    private static let none: ReferenceFunction = { _ in [] }

    /// Adds a function; an op that has one already is an error.
    public mutating func register(
        _ op: String, _ function: @escaping ReferenceFunction
    ) throws(ApusError) {
        guard self[op] == nil else {
            throw ApusError(.invalidInput, "op '\(op)' already has a reference function; choose another name")
        }
        table[op] = function
    }

    /// The functions of Apus itself, in `Ops/`.
    public static let standard: ReferenceFunctions = {
        let groups: [[String: ReferenceFunction]] = [
            elementwise, gelu, constants, embedding, linear, reductions, norms, reshaping, rope, swiGLU,
            attention, attentionPlugin, gatherLastToken, comparisons, generators, indexing, markers,
        ]
        return ReferenceFunctions(
            groups.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: { first, _ in first }) })
    }()
}
