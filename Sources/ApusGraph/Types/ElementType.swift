/// The type of one element of a tensor.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
    case f32, f16, bf16, i64, i32, i8, u8, bool

    /// Size of one element in bytes.
    public var byteCount: Int {
        switch self {
        case .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16: 2
        case .i8, .u8, .bool: 1
        }
    }

    /// Whether elements are floating-point numbers.
    public var isFloat: Bool { self == .f32 || self == .f16 || self == .bf16 }

    /// Whether elements are integers (booleans are not).
    public var isInteger: Bool { self == .i64 || self == .i32 || self == .i8 || self == .u8 }
}
