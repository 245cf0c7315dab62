import ApusGraph
import ApusSupport

/// The decoder that Llama and its kin share: RMS norms, rotary grouped-query attention, a gated MLP.
///
/// Source: transformers models/llama/modeling_llama.py.
struct GatedDecoder: Sendable {
    /// What tells one family from another.
    struct Options: Sendable {
        var queryBias = false
        var outputBias = false
        var mlpBias = false
        /// An RMS norm over each head of q and k.
        var headNorm = false
    }

    var vocabulary: Int
    var hidden: Int
    var intermediate: Int
    var layers: Int
    var heads: Int
    var kvHeads: Int
    var headSize: Int
    var eps: Double
    var activation: Activation
    var maxPositions: Int
    var isTied: Bool
    var rope: RopeParameters
    var options = Options()

    /// Builds the model: ids and positions [B, S] → logits [B, S, V].
    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value {
        let (hidden, embedding) = try b.module("model") { b throws(ApusError) in
            let (tokens, weight) = try b.embedding("embed_tokens", ids, rows: vocabulary, width: self.hidden)
            let table = try b.rotaryTable(positions, rope.inverseFrequencies(size: headSize))
            var x = tokens
            for index in 0..<layers {
                x = try b.module("layers.\(index)") { b throws(ApusError) in try layer(&b, x, table) }
            }
            return (try b.rmsNorm("norm", x, width: self.hidden, eps: eps), weight)
        }
        return try b.head(hidden, tied: isTied ? embedding : nil, width: self.hidden, vocabulary: vocabulary)
    }

    private func layer(
        _ b: inout GraphBuilder, _ x: Value, _ table: RotaryTable
    ) throws(ApusError) -> Value {
        let normal = try b.rmsNorm("input_layernorm", x, width: hidden, eps: eps)
        let attended = try b.module("self_attn") { b throws(ApusError) in try attention(&b, normal, table) }
        let sum = try b.add("add", [x, attended])
        let second = try b.rmsNorm("post_attention_layernorm", sum, width: hidden, eps: eps)
        return try b.add("add", [sum, try b.module("mlp") { b throws(ApusError) in try mlp(&b, second) }])
    }

    private func attention(
        _ b: inout GraphBuilder, _ x: Value, _ table: RotaryTable
    ) throws(ApusError) -> Value {
        func heads(
            _ b: inout GraphBuilder, _ name: String, _ count: Int, norm: String?
        ) throws(ApusError) -> Value {
            let flat = try b.linear(
                "\(name)_proj", x, inputs: hidden, outputs: count * headSize, bias: options.queryBias)
            var split = try b.split(flat, heads: count, size: headSize)
            if let norm, options.headNorm { split = try b.rmsNorm(norm, split, width: headSize, eps: eps) }
            return try b.transposedHeads(split)
        }
        let q = try heads(&b, "q", self.heads, norm: "q_norm")
        let k = try heads(&b, "k", kvHeads, norm: "k_norm")
        let v = try heads(&b, "v", kvHeads, norm: nil)
        let y = try b.causalAttention(
            try b.rotated(q, table), try b.rotated(k, table), v, scale: 1 / Double(headSize).squareRoot())
        return try b.linear(
            "o_proj", y, inputs: self.heads * headSize, outputs: hidden, bias: options.outputBias)
    }

    private func mlp(_ b: inout GraphBuilder, _ x: Value) throws(ApusError) -> Value {
        let gate = try b.linear(
            "gate_proj", x, inputs: hidden, outputs: intermediate, bias: options.mlpBias)
        let active = try b.activation(activation, gate)
        let up = try b.linear("up_proj", x, inputs: hidden, outputs: intermediate, bias: options.mlpBias)
        let product = try b.add("mul", [active, up])
        return try b.linear(
            "down_proj", product, inputs: intermediate, outputs: hidden, bias: options.mlpBias)
    }
}
