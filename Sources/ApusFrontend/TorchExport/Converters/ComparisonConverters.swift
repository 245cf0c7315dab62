import ApusGraph
import ApusSupport

/// Comparisons and the logic of truth values.
extension ConverterRegistry {
    static let comparisons: [String: Converter] = {
        var table: [String: Converter] = [
            "aten.logical_not.default": negation, "aten.bitwise_not.default": negation,
        ]
        for op in ["eq", "ne", "lt", "le", "gt", "ge"] {
            for overload in ["Tensor", "Scalar"] { table["aten.\(op).\(overload)"] = binary(op) }
        }
        for (name, op) in [("and", "logical_and"), ("or", "logical_or"), ("xor", "logical_xor")] {
            table["aten.\(op).default"] = connective(op, converts: true)
            for overload in ["Tensor", "Scalar"] {
                table["aten.bitwise_\(name).\(overload)"] = connective(op, converts: false)
                table["aten.__\(name)__.\(overload)"] = connective(op, converts: false)
            }
        }
        return table
    }()

    /// A logical operator takes any number for a truth value, a bitwise one is logic only on truth values.
    private static func connective(_ op: String, converts: Bool) -> Converter {
        { call throws(ApusError) in
            let operands = [try call.operand("self"), try call.operand("other")]
            guard converts || Promotion.type(of: operands, call) == .bool else {
                throw call.unsupported("bits of integers")
            }
            var values: [Value] = []
            for operand in operands {
                let value = try call.promoted([operand])[0]
                values.append(try call.truth(value))
            }
            return [try call.pointwise(op, values)]
        }
    }

    private static let negation: Converter = { call throws(ApusError) in
        let value = try call.promoted([try call.operand("self")])[0]
        guard call.type(of: value).element == .bool || call.target.contains("logical") else {
            throw call.unsupported("bits of integers")
        }
        return [try call.pointwise("logical_not", [try call.truth(value)])]
    }
}

extension OperatorCall {
    /// Whether each element differs from 0.
    func truth(_ value: Value) throws(ApusError) -> Value {
        let element = type(of: value).element
        return element == .bool ? value : try pointwise("ne", [value, scalar(0, element)])
    }
}
