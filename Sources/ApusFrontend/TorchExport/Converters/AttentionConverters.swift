import ApusGraph
import ApusSupport

/// Scaled dot product attention in all forms that PyTorch dispatches it to.
extension ConverterRegistry {
    static let attention: [String: Converter] = {
        var table: [String: Converter] = [:]
        for name in [
            "scaled_dot_product_attention", "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_fused_attention_overrideable",
            "_scaled_dot_product_attention_math",
        ] {
            table["aten.\(name).default"] = scaledDotProduct
        }
        return table
    }()

    /// The attention output; log-sum-exp and random state, which only training uses, are not computed.
    private static let scaledDotProduct: Converter = { call throws(ApusError) in
        let (q, k, v) = (try call.tensor("query"), try call.tensor("key"), try call.tensor("value"))
        if let dropout = try call.number("dropout_p"), dropout != 0 {
            throw call.unsupported("dropout of \(dropout); export the model in evaluation mode")
        }
        guard call.argument("dropout_mask") == nil, try !call.bool("return_debug_mask", default: false) else {
            throw call.unsupported("a dropout mask")
        }
        let (queries, keys) = (call.type(of: q), call.type(of: k))
        guard queries.rank == 4, keys == call.type(of: v), let size = queries.shape[3].constant else {
            throw call.unsupported(
                "attention over \(queries), \(keys), \(call.type(of: v)); expected [B, H, S, D] with k and v alike"
            )
        }
        let scale = try call.number("scale") ?? 1 / Double(size).squareRoot()
        var attributes: [String: Attribute] = ["scale": .float(scale)]
        if try call.bool("enable_gqa", default: false) || keys.shape[1] != queries.shape[1] {
            attributes["enable_gqa"] = true
        }
        var mask = try call.optionalTensor("attn_mask")
        if mask == nil { mask = try call.optionalTensor("attn_bias") }
        if try call.bool("is_causal", default: false) {
            if mask == nil, queries.shape[2] == keys.shape[2] {
                attributes["is_causal"] = true
            } else {
                mask = try topLeftCausal(call, queries.shape[2], keys.shape[2], with: mask)
            }
        }
        return [try call.add("scaled_dot_product_attention", [q, k, v, mask], attributes)]
    }

    /// The mask of PyTorch's is_causal: query s sees keys 0…s, however many keys there are.
    private static func topLeftCausal(
        _ call: OperatorCall, _ queries: Dimension, _ keys: Dimension, with mask: Value?
    ) throws(ApusError) -> Value {
        let rows = try call.add("arange", [], ["end": .size(queries), "element": .element(.i64)])
        let columns = try call.add("arange", [], ["end": .size(keys), "element": .element(.i64)])
        let column = try call.add("unsqueeze", [rows], ["dim": 1])
        let visible = try call.add("le", [columns, column])
        guard let mask else { return visible }
        let element = call.type(of: mask).element
        if element == .bool { return try call.add("logical_and", [mask, visible]) }
        return try call.add("where", [visible, mask, call.scalar(-.infinity, element)])
    }
}
