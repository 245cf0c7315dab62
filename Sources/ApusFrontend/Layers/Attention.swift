import ApusGraph
import ApusSupport

extension GraphBuilder {
    /// Splits [B, S, H·D] into heads, [B, S, H, D].
    mutating func split(_ x: Value, heads: Int, size: Int) throws(ApusError) -> Value {
        let leading = shape(x).dropLast()
        return try add(
            "view", [x], ["shape": .dimensions(leading + [Dimension(heads), Dimension(size)])])
    }

    /// Exchanges the heads and the positions of [B, S, H, D] or [B, H, S, D].
    mutating func transposedHeads(_ x: Value) throws(ApusError) -> Value {
        try add("transpose", [x], ["dim0": 1, "dim1": 2])
    }

    /// Causal attention over heads q [B, H, S, D], k and v [B, Hkv, S, D]; the result is [B, S, H·D].
    mutating func causalAttention(
        _ q: Value, _ k: Value, _ v: Value, scale: Double
    ) throws(ApusError) -> Value {
        let shape = shape(q)
        let isGrouped = shape[1] != self.shape(k)[1]
        var attributes: [String: Attribute] = ["is_causal": true, "scale": .float(scale)]
        if isGrouped { attributes["enable_gqa"] = true }
        let heads = try add("scaled_dot_product_attention", [q, k, v], attributes)
        let rows = try transposedHeads(heads)
        return try add("view", [rows], ["shape": .dimensions([shape[0], shape[2], shape[1] * shape[3]])])
    }
}
