import ApusGraph
import ApusSupport

/// Functions of one number.
extension ConverterRegistry {
    static let unaries: [String: Converter] = {
        var table: [String: Converter] = [
            "aten.neg.default": { call throws(ApusError) in
                let x = try call.number()
                let element = call.type(of: x).element
                if element.isFloat { return [try call.pointwise("neg", [x])] }
                return [try call.pointwise("mul", [x, call.scalar(-1, element)])]
            },
            "aten.reciprocal.default": { call throws(ApusError) in
                let x = try call.float()
                return [try call.pointwise("div", [call.scalar(1, call.type(of: x).element), x])]
            },
            "aten.square.default": { call throws(ApusError) in
                let x = try call.number()
                return [try call.pointwise("mul", [x, x])]
            },
            "aten.abs.default": { call throws(ApusError) in
                let x = try call.number()
                let minusX = try call.pointwise("mul", [x, call.scalar(-1, call.type(of: x).element)])
                return [try call.pointwise("maximum", [x, minusX])]
            },
            "aten.gelu.default": { call throws(ApusError) in
                let x = try call.float()
                let form = try call.string("approximate", default: "none")
                return [try call.pointwise("gelu", [x], ["approximate": .string(form)])]
            },
        ]
        for op in [
            "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "sigmoid", "silu", "relu", "erf",
        ] {
            table["aten.\(op).default"] = function(op)
        }
        return table
    }()

    private static func function(_ op: String) -> Converter {
        { call throws(ApusError) in
            let x = try call.float()
            return [try call.pointwise(op, [x])]
        }
    }
}

extension OperatorCall {
    /// The argument `self` as a tensor.
    fileprivate func number() throws(ApusError) -> Value { try promoted([try operand("self")])[0] }

    /// The argument `self` as a floating-point tensor; integers become f32.
    fileprivate func float() throws(ApusError) -> Value {
        let operand = try operand("self")
        let element = Promotion.type(of: [operand], self)
        return try promoted([operand], as: element.isFloat ? element : .f32)[0]
    }
}
