import ApusGraph
import ApusSupport

extension GraphBuilder {
    /// Root mean square norm over the last dimension, as transformers' `LlamaRMSNorm` writes it.
    mutating func rmsNorm(
        _ name: String, _ x: Value, width: Int, eps: Double
    ) throws(ApusError) -> Value {
        let weight = try module(name) { builder throws(ApusError) in builder.weight("weight", [width]) }
        let square = try add("pow", [x], ["exponent": 2.0])
        let variance = try add("mean", [square], ["dim": -1, "keepdim": true])
        let shifted = try add("add", [variance, scalar(eps)])
        let normal = try add("mul", [x, try add("rsqrt", [shifted])])
        return try add("mul", [weight, normal], name: name)
    }

    /// `torch.nn.LayerNorm` over the last dimension.
    mutating func layerNorm(
        _ name: String, _ x: Value, width: Int, eps: Double
    ) throws(ApusError) -> Value {
        let (weight, bias) = try module(name) { builder throws(ApusError) in
            (builder.weight("weight", [width]), builder.weight("bias", [width]))
        }
        return try add("layer_norm", [x, weight, bias], ["eps": .float(eps)], name: name)
    }
}
