import ApusSupport

/// A tensor with its elements, in row-major order: what reference functions compute with.
///
/// Floating-point elements are kept as `Float`; those of an `f16` or `bf16` tensor are rounded to that type.
public struct Tensor: Sendable, Equatable {
    /// Type of each element.
    public let element: ElementType
    /// The dimensions, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The elements of a floating-point tensor, otherwise empty.
    public let floats: [Float]
    /// The elements of an integer or boolean (0 or 1) tensor, otherwise empty.
    public let ints: [Int]

    /// Makes a floating-point tensor, rounding the values to `element`.
    public init(_ element: ElementType, _ shape: [Int], floats: [Float]) {
        self.element = element
        self.shape = shape
        self.floats = Self.round(floats, to: element)
        ints = []
    }

    /// Makes an integer or boolean tensor, wrapping the values to `element`.
    public init(_ element: ElementType, _ shape: [Int], ints: [Int]) {
        self.element = element
        self.shape = shape
        floats = []
        self.ints = element == .i64 ? ints : ints.map { Self.wrap($0, to: element) }
    }

    /// Makes a tensor of either kind from numbers; a fraction is cut off an integer.
    public init(_ element: ElementType, _ shape: [Int], numbers: [Double]) {
        if element.isFloat {
            self.init(element, shape, floats: numbers.map { Float($0) })
        } else {
            self.init(element, shape, ints: numbers.map { Self.integer($0, element) })
        }
    }

    /// The same elements in another shape.
    package func reshaped(_ shape: [Int]) -> Tensor { Tensor(unchecked: element, shape, floats, ints) }

    /// A tensor whose elements are known to be values of `element`.
    package init(unchecked element: ElementType, _ shape: [Int], _ floats: [Float], _ ints: [Int]) {
        self.element = element
        self.shape = shape
        self.floats = floats
        self.ints = ints
    }

    /// Number of elements that the shape asks for, nil if it is beyond what can be counted.
    package var elementCount: Int? {
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard size >= 0, !overflow else { return nil }
            count = product
        }
        return count
    }

    /// Whether there is one element for each position of the shape.
    public var isComplete: Bool { elementCount == (element.isFloat ? floats.count : ints.count) }

    /// The nearest value of a floating-point type.
    package static func round(_ value: Float, to element: ElementType) -> Float {
        switch element {
        case .f16: Half(value).float
        case .bf16: BFloat16(value).float
        default: value
        }
    }

    private static func round(_ values: [Float], to element: ElementType) -> [Float] {
        element == .f32 ? values : values.map { round($0, to: element) }
    }

    private static func wrap(_ value: Int, to element: ElementType) -> Int {
        switch element {
        case .i32: Int(Int32(truncatingIfNeeded: value))
        case .i8: Int(Int8(truncatingIfNeeded: value))
        case .u8: Int(UInt8(truncatingIfNeeded: value))
        case .bool: value == 0 ? 0 : 1
        default: value
        }
    }

    /// A number without its fraction; what no integer can hold becomes the nearest one, a NaN 0.
    package static func integer(_ value: Double, _ element: ElementType) -> Int {
        if element == .bool { return value == 0 ? 0 : 1 }
        if value.isNaN { return 0 }
        return Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? Int.min : Int.max)
    }
}

extension Tensor: CustomStringConvertible {
    /// The type, as in `f32[2, 3]`.
    public var description: String { TensorType(element, shape).description }
}
