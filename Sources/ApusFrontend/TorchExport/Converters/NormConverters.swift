import ApusGraph
import ApusSupport

/// Normalisation over the last dimension.
extension ConverterRegistry {
    static let norms: [String: Converter] = [
        "aten.layer_norm.default": layerNorm, "aten.native_layer_norm.default": layerNorm,
        "aten.rms_norm.default": rmsNorm, "aten._fused_rms_norm.default": rmsNorm,
    ]

    /// The one dimension that is normalised; its size.
    private static func width(_ call: OperatorCall) throws(ApusError) -> Dimension {
        let shape = try call.sizes("normalized_shape") ?? []
        guard shape.count == 1 else { throw call.unsupported("a norm over \(shape.count) dimensions") }
        return shape[0]
    }

    private static let layerNorm: Converter = { call throws(ApusError) in
        let x = try call.tensor("input")
        let width = try width(call)
        let element = call.type(of: x).element
        var weight = try call.optionalTensor("weight")
        if weight == nil {
            weight = try call.add(
                "full", [], ["shape": .dimensions([width]), "value": 1.0, "element": .element(element)])
        }
        let eps = try call.number("eps") ?? 1e-5
        return [
            try call.add("layer_norm", [x, weight, try call.optionalTensor("bias")], ["eps": .float(eps)])
        ]
    }

    /// x / √(mean(x²) + eps) · weight, computed in f32 as PyTorch does.
    private static let rmsNorm: Converter = { call throws(ApusError) in
        let input = try call.tensor("input")
        _ = try width(call)
        let element = call.type(of: input).element
        let x = try call.converted(input, to: .f32)
        // The default is the machine epsilon of the input's type.
        let machine = element == .f16 ? 0x1p-10 : element == .bf16 ? 0x1p-7 : 0x1p-23
        let eps = try call.number("eps") ?? machine
        let mean = try call.add("mean", [try call.add("pow", [x], ["exponent": 2.0])])
        let scale = try call.add("rsqrt", [try call.add("add", [mean, call.scalar(eps, .f32)])])
        var y = try call.add("mul", [x, scale])
        if let weight = try call.optionalTensor("weight") {
            y = try call.add("mul", [y, try call.converted(weight, to: .f32)])
        }
        return [try call.converted(y, to: element)]
    }
}
