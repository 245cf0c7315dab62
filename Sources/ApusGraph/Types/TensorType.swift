/// The type of a value: element type and shape, as in `f32[B, S, 256]`.
public struct TensorType: Sendable, Hashable, CustomStringConvertible {
    /// Type of each element.
    public var element: ElementType
    /// The dimensions, outermost first; empty for a scalar.
    public var shape: [Dimension]

    /// Makes a type.
    public init(_ element: ElementType, _ shape: [Dimension]) {
        self.element = element
        self.shape = shape
    }

    /// Makes a type of constant shape.
    public init(_ element: ElementType, _ shape: [Int]) {
        self.init(element, shape.map { Dimension($0) })
    }

    /// Number of dimensions.
    public var rank: Int { shape.count }

    /// The shape as integers, if no dimension is symbolic.
    public var constantShape: [Int]? {
        var result: [Int] = []
        for dimension in shape {
            guard let value = dimension.constant else { return nil }
            result.append(value)
        }
        return result
    }

    /// Number of elements.
    public var elementCount: Dimension { .product(shape) }

    /// The text form.
    public var description: String {
        "\(element.rawValue)[\(shape.map(\.description).joined(separator: ", "))]"
    }
}
