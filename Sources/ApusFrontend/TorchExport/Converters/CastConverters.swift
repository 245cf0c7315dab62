import ApusGraph
import ApusSupport

/// Conversions of the element type. Devices, layouts and copies are no matter of the graph.
extension ConverterRegistry {
    static let casts: [String: Converter] = [
        "aten.to.dtype": cast, "aten.to.dtype_layout": cast, "aten.to.device": cast,
        "aten._to_copy.default": cast,
        "prims.convert_element_type.default": { call throws(ApusError) in
            guard case .tensor(let value) = try call.operand("a"), let element = try call.elementType("dtype")
            else { throw call.unsupported("a conversion without a dtype") }
            return [try call.converted(value, to: element)]
        },
        "aten.to.other": castAsOther, "aten.type_as.default": castAsOther,
    ]

    private static let cast: Converter = { call throws(ApusError) in
        guard case .tensor(let value) = try call.operand("self") else {
            throw call.unsupported("a conversion of a number")
        }
        let element = try call.elementType("dtype") ?? call.type(of: value).element
        return [try call.converted(value, to: element)]
    }

    private static let castAsOther: Converter = { call throws(ApusError) in
        let other = try call.tensor("other")
        return [try call.converted(try call.tensor("self"), to: call.type(of: other).element)]
    }
}
