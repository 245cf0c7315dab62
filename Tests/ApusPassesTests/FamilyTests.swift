import ApusFrontend
import ApusGraph
import ApusPasses
import ApusSupport
import Testing

/// The families' own definitions are understood to the last op: nothing that the passes look for is left over.
@Suite struct FamilyTests {
    private static let gated: Set<String> = [
        "parameter", "constant", "rope_table", "embedding", "rms_norm", "cat", "linear", "attention_plugin",
        "view",
        "add_rms_norm", "swiglu", "gather_last_token",
    ]

    @Test(arguments: ["llama", "qwen2", "qwen3", "gpt2"])
    func everyFamilyIsFusedAndComputesTheSame(modelType: String) throws {
        let shared = """
            "vocab_size": 16, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16,
            "rms_norm_eps": 1e-5, "rope_theta": 10000, "hidden_act": "silu", "tie_word_embeddings": true
            """
        let own = """
            "vocab_size": 16, "n_embd": 16, "n_head": 4, "n_layer": 2, "n_positions": 16,
            "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"
            """
        let keys = modelType == "gpt2" ? own : modelType == "qwen3" ? shared + ", \"head_dim\": 8" : shared
        let text = "{\"model_type\": \"\(modelType)\", \(keys)}"
        let model = try Importer.importConfig(
            JSON.parse(Array(text.utf8), source: modelType), element: .f32)
        let manager = PassManager { pass, before, after throws(ApusError) in
            try SameNumbers.check(pass, before, after, SeededWeights(before), tolerance: 2e-5)
        }
        let (lowered, reports) = try manager.run(model.graph, Pipeline.standard())

        let expected =
            modelType == "gpt2"
            ? Self.gated.subtracting(["rms_norm", "add_rms_norm", "swiglu", "cat"]).union([
                "add_layer_norm", "gelu", "transpose",
            ]) : Self.gated
        #expect(Set(lowered.nodes.map(\.op)) == expected)
        #expect(reports.flatMap(\.attention).allSatisfy { $0.reason == nil })
        try CachedComparison(model.graph, lowered, tolerance: 1e-5).run(isDecoding: true)
    }
}
