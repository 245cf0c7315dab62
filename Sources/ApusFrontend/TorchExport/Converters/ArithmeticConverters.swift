import ApusGraph
import ApusSupport

/// Arithmetic on pairs of elements, shapes broadcast from the right.
extension ConverterRegistry {
    static let arithmetic: [String: Converter] = [
        "aten.add.Tensor": scaled("add"), "aten.add.Scalar": scaled("add"),
        "aten.sub.Tensor": scaled("sub"), "aten.sub.Scalar": scaled("sub"),
        "aten.rsub.Scalar": reversedSub, "aten.rsub.Tensor": reversedSub,
        "aten.mul.Tensor": binary("mul"), "aten.mul.Scalar": binary("mul"),
        "aten.div.Tensor": quotient, "aten.div.Scalar": quotient,
        "aten.div.Tensor_mode": roundedQuotient, "aten.div.Scalar_mode": roundedQuotient,
        "aten.floor_divide.default": binary("floor_divide"),
        "aten.floor_divide.Scalar": binary("floor_divide"),
        "aten.remainder.Tensor": binary("remainder"), "aten.remainder.Scalar": binary("remainder"),
        "aten.minimum.default": binary("minimum"), "aten.maximum.default": binary("maximum"),
        "aten.pow.Tensor_Scalar": { call throws(ApusError) in
            guard let exponent = try call.number("exponent") else {
                throw call.unsupported("an exponent that is no constant")
            }
            let base = try call.operand("self")
            let element = Promotion.type(of: [base, try call.operand("exponent")], call)
            if element.isFloat {
                let x = try call.promoted([base], as: element)
                return [try call.pointwise("pow", x, ["exponent": .float(exponent)])]
            }
            guard exponent == exponent.rounded(), (1...8).contains(exponent) else {
                throw call.unsupported("an integer to the power of \(exponent)")
            }
            let x = try call.promoted([base], as: element)[0]
            var power = x
            for _ in 1..<Int(exponent) { power = try call.pointwise("mul", [power, x]) }
            return [power]
        },
        "aten.clamp.default": { call throws(ApusError) in try clamp(call) },
        "aten.clamp_min.default": { call throws(ApusError) in try clamp(call) },
        "aten.clamp_max.default": { call throws(ApusError) in try clamp(call) },
    ]

    /// Applies an op to `self` and `other` in their common type.
    static func binary(_ op: String) -> Converter {
        { call throws(ApusError) in
            let values = try call.promoted([try call.operand("self"), try call.operand("other")])
            return [try call.pointwise(op, values)]
        }
    }

    /// self ± alpha · other.
    private static func scaled(_ op: String) -> Converter {
        { call throws(ApusError) in
            var values = try call.promoted([try call.operand("self"), try call.operand("other")])
            if let alpha = try call.number("alpha"), alpha != 1 {
                let factor = call.scalar(alpha, call.type(of: values[1]).element)
                values[1] = try call.pointwise("mul", [values[1], factor])
            }
            return [try call.pointwise(op, values)]
        }
    }

    /// other − alpha · self.
    private static let reversedSub: Converter = { call throws(ApusError) in
        var values = try call.promoted([try call.operand("self"), try call.operand("other")])
        if let alpha = try call.number("alpha"), alpha != 1 {
            let factor = call.scalar(alpha, call.type(of: values[0]).element)
            values[0] = try call.pointwise("mul", [values[0], factor])
        }
        return [try call.pointwise("sub", [values[1], values[0]])]
    }

    /// A quotient of integers is a float.
    private static let quotient: Converter = { call throws(ApusError) in
        let operands = [try call.operand("self"), try call.operand("other")]
        let common = Promotion.type(of: operands, call)
        return [try call.pointwise("div", try call.promoted(operands, as: common.isFloat ? common : .f32))]
    }

    private static let roundedQuotient: Converter = { call throws(ApusError) in
        switch try call.string("rounding_mode", default: "") {
        case "": return try quotient(call)
        case "floor": return try binary("floor_divide")(call)
        case let mode: throw call.unsupported("rounding mode '\(mode)'")
        }
    }

    private static func clamp(_ call: OperatorCall) throws(ApusError) -> [Value] {
        var operands = [try call.operand("self")]
        for name in ["min", "max"] where try call.number(name) != nil {
            operands.append(try call.operand(name))
        }
        let values = try call.promoted(operands)
        var (result, next) = (values[0], 1)
        if try call.number("min") != nil {
            result = try call.pointwise("maximum", [result, values[next]])
            next += 1
        }
        if try call.number("max") != nil { result = try call.pointwise("minimum", [result, values[next]]) }
        return [result]
    }
}
