import ApusGraph
import ApusSupport

/// Llama 2 and 3.
///
/// Source: transformers models/llama/{configuration,modeling}_llama.py, 5.23.
struct Llama: ModelFamily {
    static let modelTypes = ["llama"]
    static let baseModule = "model"

    private var decoder: GatedDecoder

    init(_ config: ConfigReader) throws(ApusError) {
        decoder = try GatedDecoder(config, GatedDecoder.Defaults())
        decoder.options.queryBias = try config.bool("attention_bias", default: false)
        decoder.options.outputBias = decoder.options.queryBias
        decoder.options.mlpBias = try config.bool("mlp_bias", default: false)
    }

    var size: ModelSize { decoder.size }
    var isTied: Bool { decoder.isTied }

    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value {
        try decoder.build(&b, ids: ids, positions: positions)
    }

    /// Checkpoints of early Llama 2 carry the frequencies of each layer.
    static func isLeftover(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}

extension GatedDecoder {
    /// The sizes that a runtime needs.
    var size: ModelSize { ModelSize(vocabulary: vocabulary, positions: maxPositions, layers: layers) }
}
