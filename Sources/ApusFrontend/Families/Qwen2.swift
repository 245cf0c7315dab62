import ApusGraph
import ApusSupport

/// Qwen 2 and 2.5, dense.
///
/// Source: transformers models/qwen2/{configuration,modeling}_qwen2.py, 5.23.
///
/// Differs from Llama: q, k and v always have a bias, nothing else has one; some layers may use a sliding window.
struct Qwen2: ModelFamily {
    static let modelTypes = ["qwen2"]
    static let baseModule = "model"

    private var decoder: GatedDecoder

    init(_ config: ConfigReader) throws(ApusError) {
        decoder = try GatedDecoder(
            config,
            GatedDecoder.Defaults(
                vocabulary: 151_936, intermediate: 22016, kvHeads: 32, maxPositions: 32768))
        decoder.options.queryBias = true
        try decoder.requireFullAttention(config)
    }

    var size: ModelSize { decoder.size }
    var isTied: Bool { decoder.isTied }

    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value {
        try decoder.build(&b, ids: ids, positions: positions)
    }

    static func isLeftover(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}
