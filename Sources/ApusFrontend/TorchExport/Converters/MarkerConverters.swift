import ApusGraph
import ApusSupport

/// Operators that compute nothing: passes remove the markers that they become.
extension ConverterRegistry {
    static let markers: [String: Converter] = [
        "aten.detach.default": marker("detach"), "aten.alias.default": marker("detach"),
        "aten.clone.default": marker("clone"), "aten.contiguous.default": marker("clone"),
        "aten.lift_fresh_copy.default": marker("clone"), "aten.lift_fresh.default": marker("clone"),
        "aten.dropout.default": { call throws(ApusError) in
            let probability = try call.number("p") ?? 0
            guard try !call.bool("train", default: true) || probability == 0 else {
                throw call.unsupported("dropout in training mode; export the model in evaluation mode")
            }
            return [try call.tensor("input")]
        },
        "aten.copy.default": { call throws(ApusError) in
            let type = call.type(of: try call.tensor("self"))
            let source = try call.converted(try call.tensor("src"), to: type.element)
            return [try call.expanded(source, type.shape)]
        },
    ]

    private static func marker(_ op: String) -> Converter {
        { call throws(ApusError) in
            guard case .tensor(let value) = try call.operand("self") else {
                throw call.unsupported("\(op) of a number")
            }
            return [try call.pointwise(op, [value])]
        }
    }
}
