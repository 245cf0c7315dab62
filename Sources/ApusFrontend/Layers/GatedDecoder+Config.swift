import ApusSupport

extension GatedDecoder {
    /// What the config classes of a family fill in for keys that are left out.
    struct Defaults {
        var vocabulary = 32000
        var intermediate = 11008
        /// nil means as many as there are query heads.
        var kvHeads: Int?
        /// nil means hidden size over heads.
        var headSize: Int?
        var maxPositions = 2048
    }

    /// Reads the keys that all families of this decoder share.
    init(_ config: ConfigReader, _ defaults: Defaults) throws(ApusError) {
        vocabulary = try config.int("vocab_size", default: defaults.vocabulary)
        hidden = try config.int("hidden_size", default: 4096, in: 1...1 << 20)
        intermediate = try config.int("intermediate_size", default: defaults.intermediate)
        layers = try config.int("num_hidden_layers", default: 32, in: 1...10000)
        heads = try config.int("num_attention_heads", default: 32, in: 1...1 << 16)
        eps = try config.double("rms_norm_eps", default: 1e-6)
        activation = try Activation(config, "hidden_act", default: .silu)
        maxPositions = try config.int("max_position_embeddings", default: defaults.maxPositions)
        isTied = try config.bool("tie_word_embeddings", default: false)
        // Null asks for one key head a query head even where the default is a number.
        let kvFallback = config.has("num_key_value_heads") ? heads : defaults.kvHeads ?? heads
        kvHeads = try config.optionalInt("num_key_value_heads", in: 1...1 << 16) ?? kvFallback
        guard heads % kvHeads == 0 else {
            throw config.error(
                "num_key_value_heads",
                "expected a divisor of the \(heads) attention heads, got \(kvHeads)")
        }
        let headFallback = config.has("head_dim") ? nil : defaults.headSize
        if let size = try config.optionalInt("head_dim", in: 1...1 << 16) ?? headFallback {
            headSize = size
        } else {
            guard hidden % heads == 0 else {
                throw config.error(
                    "hidden_size", "expected a multiple of the \(heads) attention heads, got \(hidden)")
            }
            headSize = hidden / heads
        }
        guard headSize % 2 == 0 else {
            throw config.error("head_dim", "rotary embedding needs an even number, got \(headSize)")
        }
        rope = try RopeParameters(config, maxPositions: maxPositions)
    }

    /// Refuses a sliding window that would hide something, which Qwen 2 and 3 turn on with three keys.
    func requireFullAttention(_ config: ConfigReader) throws(ApusError) {
        let isOn = try config.bool("use_sliding_window", default: false)
        let window = try config.optionalInt("sliding_window", in: 0...Int.max)
        let first = try config.int("max_window_layers", default: 28, in: 0...Int.max)
        let types = try config.optionalStrings("layer_types")
        let known = ["full_attention", "sliding_attention"]
        if let types {
            guard types.count == layers, types.allSatisfy(known.contains) else {
                throw config.error(
                    "layer_types",
                    "expected \(layers) of \"full_attention\", got \(types.joined(separator: ", "))",
                    .unsupported)
            }
        }
        let slides = types.map { $0.contains("sliding_attention") } ?? (isOn && first < layers)
        let width = config.has("sliding_window") ? window : 4096
        guard slides, let width, width < maxPositions else { return }
        let key = types == nil ? "use_sliding_window" : "layer_types"
        throw config.error(
            key,
            "a sliding window of \(width) in \(maxPositions) positions is not supported; "
                + "expected full attention in every layer", .unsupported)
    }
}
