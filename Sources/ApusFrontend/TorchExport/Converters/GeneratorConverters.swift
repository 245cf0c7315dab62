import ApusGraph
import ApusSupport

/// Tensors made of nothing.
extension ConverterRegistry {
    static let generators: [String: Converter] = [
        "aten.arange.default": arange, "aten.arange.start": arange, "aten.arange.start_step": arange,
        "aten.full.default": { call throws(ApusError) in
            [try full(call, try call.sizes("size") ?? [], try call.operand("fill_value"))]
        },
        "aten.full_like.default": { call throws(ApusError) in
            [try full(call, try shape(call), try call.operand("fill_value"))]
        },
        "aten.new_full.default": { call throws(ApusError) in
            [try full(call, try call.sizes("size") ?? [], try call.operand("fill_value"))]
        },
        "aten.scalar_tensor.default": { call throws(ApusError) in
            [try call.promoted([try call.operand("s")], as: try call.resultType().element)[0]]
        },
        // What is not initialised may hold anything, so zeros too.
        "aten.empty.memory_format": filled(0, "size"), "aten.new_empty.default": filled(0, "size"),
        "aten.empty_like.default": filled(0, nil),
        "aten.ones.default": filled(1, "size"), "aten.zeros.default": filled(0, "size"),
        "aten.new_ones.default": filled(1, "size"), "aten.new_zeros.default": filled(0, "size"),
        "aten.ones_like.default": filled(1, nil), "aten.zeros_like.default": filled(0, nil),
        "aten.fill.Scalar": { call throws(ApusError) in
            [try full(call, try shape(call), try call.operand("value"))]
        },
        "aten.zero.default": filled(0, nil),
    ]

    private static func shape(_ call: OperatorCall) throws(ApusError) -> [Dimension] {
        call.type(of: try call.tensor("self")).shape
    }

    private static func filled(_ value: Double, _ sizes: String?) -> Converter {
        { call throws(ApusError) in
            var shape: [Dimension]
            if let sizes { shape = try call.sizes(sizes) ?? [] } else { shape = try Self.shape(call) }
            return [try full(call, shape, .number(value, .f32))]
        }
    }

    private static func full(
        _ call: OperatorCall, _ shape: [Dimension], _ value: PointwiseOperand
    ) throws(ApusError) -> Value {
        let element = try call.resultType().element
        if case .number(let number, _) = value {
            return try call.add(
                "full", [],
                ["shape": .dimensions(shape), "value": .float(number), "element": .element(element)])
        }
        return try call.expanded(try call.promoted([value], as: element)[0], shape)
    }

    /// start, start + step, … in the type that the exporter recorded.
    private static let arange: Converter = { call throws(ApusError) in
        let element = try call.resultType().element
        let step = try call.number("step") ?? 1
        if step == 1, let end = try? call.size("end"), let start = try? call.size("start") ?? 0 {
            return [
                try call.add(
                    "arange", [], ["start": .size(start), "end": .size(end), "element": .element(element)])
            ]
        }
        // Other steps: 0, 1, 2, … as many as the exporter recorded, times the step.
        let count = try call.resultType().shape.first ?? 0
        let steps = try call.add("arange", [], ["end": .size(count), "element": .element(element)])
        let scaled = step == 1 ? steps : try call.add("mul", [steps, call.scalar(step, element)])
        guard call.argument("start") != nil else { return [scaled] }
        let start = try call.promoted([try call.operand("start")], as: element)[0]
        return [try call.add("add", [scaled, start])]
    }
}
