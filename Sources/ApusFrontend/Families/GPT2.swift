import ApusGraph
import ApusSupport

/// GPT-2.
///
/// Source: transformers models/gpt2/{configuration,modeling}_gpt2.py, 5.23.
///
/// Learned positions, layer norms with bias, q, k and v from one matrix, weights stored as [inputs, outputs].
struct GPT2: ModelFamily {
    static let modelTypes = ["gpt2"]
    static let baseModule = "transformer"

    private let vocabulary: Int
    private let positions: Int
    private let hidden: Int
    private let inner: Int
    private let layers: Int
    private let heads: Int
    private let eps: Double
    private let activation: Activation
    private let scalesScores: Bool
    private let scalesByLayer: Bool
    let isTied: Bool

    init(_ config: ConfigReader) throws(ApusError) {
        vocabulary = try config.int("vocab_size", default: 50257)
        positions = try Self.int(config, "n_positions", "max_position_embeddings", 1024, 1...1 << 24)
        hidden = try Self.int(config, "n_embd", "hidden_size", 768, 1...1 << 20)
        layers = try Self.int(config, "n_layer", "num_hidden_layers", 12, 1...10000)
        heads = try Self.int(config, "n_head", "num_attention_heads", 12, 1...1 << 16)
        inner = try config.optionalInt("n_inner") ?? 4 * hidden
        eps = try config.double("layer_norm_epsilon", default: 1e-5)
        activation = try Activation(config, "activation_function", default: .geluNew)
        scalesScores = try config.bool("scale_attn_weights", default: true)
        scalesByLayer = try config.bool("scale_attn_by_inverse_layer_idx", default: false)
        isTied = try config.bool("tie_word_embeddings", default: true)
        // A matter of rounding in half precision, and the older name of n_positions.
        _ = try config.bool("reorder_and_upcast_attn", default: false)
        _ = try config.optionalInt("n_ctx")
        guard hidden % heads == 0 else {
            throw config.error("n_embd", "expected a multiple of the \(heads) heads, got \(hidden)")
        }
    }

    /// An integer under GPT-2's own name or the common one, which transformers maps to it.
    private static func int(
        _ config: ConfigReader, _ key: String, _ alias: String, _ fallback: Int, _ range: ClosedRange<Int>
    ) throws(ApusError) -> Int {
        let common = try config.int(alias, default: fallback, in: range)
        return try config.int(key, default: common, in: range)
    }

    var size: ModelSize { ModelSize(vocabulary: vocabulary, positions: positions, layers: layers) }

    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value {
        let (hidden, embedding) = try b.module("transformer") { b throws(ApusError) in
            let (tokens, weight) = try b.embedding("wte", ids, rows: vocabulary, width: self.hidden)
            let (places, _) = try b.embedding("wpe", positions, rows: self.positions, width: self.hidden)
            var x = try b.add("add", [tokens, places])
            for index in 0..<layers {
                x = try b.module("h.\(index)") { b throws(ApusError) in try block(&b, x, index) }
            }
            return (try b.layerNorm("ln_f", x, width: self.hidden, eps: eps), weight)
        }
        return try b.head(hidden, tied: isTied ? embedding : nil, width: self.hidden, vocabulary: vocabulary)
    }

    private func block(_ b: inout GraphBuilder, _ x: Value, _ index: Int) throws(ApusError) -> Value {
        let normal = try b.layerNorm("ln_1", x, width: hidden, eps: eps)
        let attended = try b.module("attn") { b throws(ApusError) in try attention(&b, normal, index) }
        let sum = try b.add("add", [attended, x])
        let second = try b.layerNorm("ln_2", sum, width: hidden, eps: eps)
        let output = try b.module("mlp") { b throws(ApusError) in
            let wide = try b.conv1D("c_fc", second, inputs: hidden, outputs: inner)
            return try b.conv1D(
                "c_proj", try b.activation(activation, wide), inputs: inner, outputs: hidden)
        }
        return try b.add("add", [sum, output])
    }

    private func attention(_ b: inout GraphBuilder, _ x: Value, _ index: Int) throws(ApusError) -> Value {
        let size = hidden / heads
        let packed = try b.conv1D("c_attn", x, inputs: hidden, outputs: 3 * hidden)
        var parts: [Value] = []
        for part in 0..<3 {
            let slice = try b.add(
                "slice", [packed],
                ["dim": -1, "start": .int(part * hidden), "end": .int((part + 1) * hidden)])
            parts.append(try b.transposedHeads(try b.split(slice, heads: heads, size: size)))
        }
        var scale = scalesScores ? 1 / Double(size).squareRoot() : 1
        if scalesByLayer { scale /= Double(index + 1) }
        let y = try b.causalAttention(parts[0], parts[1], parts[2], scale: scale)
        return try b.conv1D("c_proj", y, inputs: hidden, outputs: hidden)
    }

    /// Older checkpoints carry the causal mask of each layer.
    static func isLeftover(_ name: String) -> Bool {
        name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias")
    }
}
