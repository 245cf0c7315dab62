public import ApusGraph

/// A node as a rule's condition sees it: its attributes with defaults filled in, and the types around it.
public struct NodeView {
    /// The node itself; operands may since have been replaced.
    public let node: Node
    /// The operands as they are now.
    public let operands: [Value?]
    /// Types of the operands; nil where one is absent.
    public let types: [TensorType?]
    /// Type of the first result.
    public let type: TensorType
    private let spec: OpSpec?

    init(_ node: Node, _ editor: GraphEditor) {
        self.node = node
        operands = node.operands.map { $0.map(editor.resolve) }
        types = operands.map { $0.map(editor.type(of:)) }
        type = editor.type(of: node.result)
        spec = editor.registry[node.op]
    }

    /// The operand at `index`, nil if absent.
    public func operand(_ index: Int) -> Value? { index < operands.count ? operands[index] : nil }

    private func attribute(_ name: String) -> Attribute? {
        spec?.attribute(name, of: node) ?? node.attributes[name]
    }

    /// An integer attribute.
    public func int(_ name: String) -> Int? {
        if case .int(let value)? = attribute(name) { value } else { nil }
    }

    /// A size attribute, constant or symbolic.
    public func size(_ name: String) -> Dimension? {
        switch attribute(name) {
        case .int(let value)?: Dimension(value)
        case .dimension(let value)?: value
        default: nil
        }
    }

    /// A number attribute.
    public func float(_ name: String) -> Double? {
        switch attribute(name) {
        case .float(let value)?: value
        case .int(let value)?: Double(value)
        default: nil
        }
    }

    /// A boolean attribute, false if missing.
    public func bool(_ name: String) -> Bool { attribute(name) == .bool(true) }

    /// A string attribute.
    public func string(_ name: String) -> String? {
        if case .string(let value)? = attribute(name) { value } else { nil }
    }

    /// An element type attribute.
    public func element(_ name: String) -> ElementType? {
        if case .element(let value)? = attribute(name) { value } else { nil }
    }

    /// A literal attribute.
    public func literal(_ name: String) -> TensorLiteral? {
        if case .literal(let value)? = attribute(name) { value } else { nil }
    }

    /// A list of dimensions.
    public func dimensions(_ name: String) -> [Dimension]? {
        if case .dimensions(let value)? = attribute(name) { value } else { nil }
    }

    /// A dimension index counted from the front, for a tensor of `rank` (by default that of the first operand).
    public func axis(_ name: String, rank: Int? = nil) -> Int? {
        guard let axis = int(name), let rank = rank ?? types.first??.rank else { return nil }
        let wrapped = axis < 0 ? axis + rank : axis
        return (0..<rank).contains(wrapped) ? wrapped : nil
    }

    /// Whether the attribute names the last dimension of the first operand.
    public func isLast(_ name: String) -> Bool {
        guard let axis = axis(name), let rank = types.first??.rank else { return false }
        return axis == rank - 1
    }

    /// For a `slice` of a constant dimension: which one, and the range it takes.
    public var slice: (axis: Int, range: Range<Int>)? {
        guard node.op == "slice", let axis = axis("dim"), let size = types.first??.shape[axis].constant,
            let start = int("start"), let end = int("end")
        else { return nil }
        let upper = end == -1 ? size : end
        return start <= upper ? (axis, start..<upper) : nil
    }

    /// For a `slice` along the last dimension: the range it takes.
    public var lastSlice: Range<Int>? {
        guard let slice, slice.axis == (types.first??.rank ?? 0) - 1 else { return nil }
        return slice.range
    }

    /// Whether a `transpose` exchanges just these two dimensions.
    public func transposes(_ a: Int, _ b: Int) -> Bool {
        guard node.op == "transpose", let x = axis("dim0"), let y = axis("dim1") else { return false }
        return (x == a && y == b) || (x == b && y == a)
    }
}

extension TensorLiteral {
    /// The one number that all elements are, if they are equal.
    var splat: Double? {
        guard let first = values.first, values.allSatisfy({ $0 == first }) else { return nil }
        return first
    }
}
