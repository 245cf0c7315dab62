public import ApusSupport

/// Computes the results of one op.
public typealias ReferenceFunction = @Sendable (ReferenceCall) throws(ApusError) -> [Tensor]

/// What a reference function sees of its op: operand values, attributes, and the results that are expected.
public struct ReferenceCall: AttributeReader {
    private let node: Node
    private let spec: OpSpec
    /// The operands in the order of the spec; nil where an optional one is absent.
    public let operands: [Tensor?]
    /// Element types of the results.
    public let elements: [ElementType]
    /// Shapes of the results.
    public let shapes: [[Int]]
    private let evaluate: @Sendable (Dimension) -> Int?

    /// Describes a call.
    /// - Parameters:
    ///   - node: The node that is computed; only its attributes are looked at.
    ///   - spec: The op of the node, for the attributes that are left out.
    ///   - operands: The operands in the order of the spec.
    ///   - elements: Element types of the results.
    ///   - shapes: Shapes of the results.
    ///   - evaluate: The value of a dimension with the symbols of this run.
    public init(
        node: Node, spec: OpSpec, operands: [Tensor?], elements: [ElementType], shapes: [[Int]],
        evaluate: @escaping @Sendable (Dimension) -> Int? = { $0.constant }
    ) {
        self.node = node
        self.spec = spec
        self.operands = operands
        self.elements = elements
        self.shapes = shapes
        self.evaluate = evaluate
    }

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
