import ApusGraph

extension ElementType {
    /// The type that an exported program's number for a dtype means; nil if no tensor of a graph can have it.
    init?(torchCode code: Int) {
        switch code {
        case 1: self = .u8
        case 2: self = .i8
        case 4: self = .i32
        case 5: self = .i64
        case 6: self = .f16
        case 7: self = .f32
        case 12: self = .bool
        case 13: self = .bf16
        default: return nil
        }
    }

    /// The name of a dtype number, for messages.
    static func torchName(_ code: Int) -> String {
        let names = [
            1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
            8: "float64",
            9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
            29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
        ]
        return names[code] ?? "number \(code)"
    }
}
