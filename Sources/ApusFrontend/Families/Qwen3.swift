import ApusGraph
import ApusSupport

/// Qwen 3, dense.
///
/// Source: transformers models/qwen3/{configuration,modeling}_qwen3.py, 5.23.
///
/// Differs from Llama: an RMS norm over each head of q and k before they are turned; heads of 128 by default,
/// whatever the hidden size; some layers may use a sliding window.
struct Qwen3: ModelFamily {
    static let modelTypes = ["qwen3"]
    static let baseModule = "model"

    private var decoder: GatedDecoder

    init(_ config: ConfigReader) throws(ApusError) {
        decoder = try GatedDecoder(
            config,
            GatedDecoder.Defaults(
                vocabulary: 151_936, intermediate: 22016, kvHeads: 32, headSize: 128, maxPositions: 32768))
        decoder.options.headNorm = true
        decoder.options.queryBias = try config.bool("attention_bias", default: false)
        decoder.options.outputBias = decoder.options.queryBias
        try decoder.requireFullAttention(config)
    }

    var size: ModelSize { decoder.size }
    var isTied: Bool { decoder.isTied }

    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value {
        try decoder.build(&b, ids: ids, positions: positions)
    }

    static func isLeftover(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}
