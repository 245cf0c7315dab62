import ApusFrontend
import ApusGraph
import ApusSupport
import TestNumbers
import Testing

@Suite struct ConfigTests {
    static let llama =
        #""model_type":"llama","vocab_size":11,"hidden_size":8,"intermediate_size":6,"num_hidden_layers":1,"#
        + #""num_attention_heads":2,"max_position_embeddings":16"#
    static let qwen = llama.replacing("llama", with: "qwen3") + #","num_key_value_heads":1,"head_dim":6"#
    static let gpt2 =
        #""model_type":"gpt2","vocab_size":11,"n_embd":8,"n_layer":1,"n_head":2,"n_positions":16"#

    static func load(_ text: String) throws -> ImportedModel {
        try Importer.importConfig(JSON.parse(Array("{\(text)}".utf8), source: "config.json"), element: .f32)
    }

    static func message(_ text: String) -> String? {
        do {
            _ = try load(text)
            return nil
        } catch { return "\(error)" }
    }

    @Test(arguments: [
        // Forms of transformers 4 and 5, and values that change nothing.
        llama, qwen, gpt2, llama + #","rope_scaling":null,"rope_theta":10000"#,
        llama + #","rope_scaling":{"type":"default"}"#,
        llama + #","rope_parameters":{"rope_type":"linear","factor":2.0,"rope_theta":10000.0}"#,
        llama
            + #","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}"#,
        llama + #","pretraining_tp":1,"quantization_config":null,"attn_logit_softcapping":null"#,
        llama + #","architectures":["LlamaForCausalLM"],"torch_dtype":"float16","_name_or_path":"x""#,
        llama + #","hidden_act":"gelu_pytorch_tanh","mlp_bias":true,"attention_bias":true"#,
        qwen + #","use_sliding_window":true,"sliding_window":16,"max_window_layers":0"#,
        qwen + #","use_sliding_window":true,"sliding_window":4,"max_window_layers":1"#,
        qwen + #","sliding_window":4,"layer_types":["full_attention"]"#,
        gpt2 + #","reorder_and_upcast_attn":true,"scale_attn_weights":false,"tie_word_embeddings":false"#,
        gpt2 + #","n_inner":5,"activation_function":"relu","add_cross_attention":false,"n_ctx":16"#,
    ])
    func knownConfigsGiveGraphsThatVerify(text: String) throws {
        let model = try Self.load(text)
        #expect(model.graph.diagnostics().isEmpty)
        #expect(model.graph.symbol(named: "S")?.range == 1...16)
        #expect(model.graph.outputs.map { model.graph.type(of: $0).description } == ["f32[B, S, 11]"])
    }

    @Test(arguments: [
        (
            #""vocab_size":3"#,
            "model_type: is missing; expected one of \"gpt2\", \"llama\", \"qwen2\", \"qwen3\""
        ),
        (
            #""model_type":"mamba""#,
            "model_type: expected one of \"gpt2\", \"llama\", \"qwen2\", \"qwen3\", got \"mamba\""
        ),
        (llama + #","attn_logit_softcapping":50.0"#, "'attn_logit_softcapping' = 50"),
        (llama + #","pretraining_tp":2"#, "'pretraining_tp' = 2"),
        (llama + #","quantization_config":{"bits":4}"#, "quant_method: is missing; expected one of"),
        (llama + #","foo":1,"bar":[2]"#, "'foo' = 1, 'bar' = [2]: not understood"),
        (llama + #","sliding_window":4"#, "'sliding_window' = 4"),
        (
            llama + #","rope_scaling":{"rope_type":"yarn","factor":2}"#,
            #"rope_scaling: rope_type: expected "default""#
        ),
        (
            llama + #","rope_scaling":{"type":"longrope"}"#,
            #"rope_scaling: type: expected "default", "linear""#
        ),
        (
            llama + #","rope_scaling":{"rope_type":"linear"}"#,
            #"rope_scaling: factor: rope type "linear" needs it"#
        ),
        (
            llama + #","rope_scaling":{"rope_type":"linear","factor":-1}"#,
            "factor: expected a number above 0, got -1"
        ),
        (llama + #","rope_scaling":{"rope_type":"default","mrope_section":[1]}"#, "'mrope_section' = [1]"),
        (llama + #","rope_parameters":{"full_attention":{"rope_type":"default"}}"#, "'full_attention'"),
        (llama + #","rope_scaling":7"#, "rope_scaling: expected an object, got 7"),
        (llama + #","rope_theta":"1""#, #"rope_theta: expected a finite number, got "1""#),
        (
            llama + #","partial_rotary_factor":0.5"#,
            "partial_rotary_factor: this model type turns whole heads"
        ),
        (llama + #","hidden_act":"mish""#, "hidden_act: expected one of silu, swish, gelu"),
        (
            llama + #","num_key_value_heads":3"#,
            "num_key_value_heads: expected a divisor of the 2 attention heads"
        ),
        (llama + #","head_dim":3"#, "head_dim: rotary embedding needs an even number, got 3"),
        (llama + #","head_dim":0"#, "head_dim: expected an integer in 1...65536, got 0"),
        (llama + #","eos_token_id":"x""#, #"eos_token_id: expected a token id or a list of them, got "x""#),
        (llama + #","tie_word_embeddings":1"#, "tie_word_embeddings: expected true or false, got 1"),
        (llama + #","num_hidden_layers":99999999999"#, "num_hidden_layers: expected an integer in 1...10000"),
        (llama.replacing("8", with: "null"), "hidden_size: expected an integer, got null"),
        (llama.replacing("8", with: "9"), "hidden_size: expected a multiple of the 2 attention heads, got 9"),
        (
            qwen + #","use_sliding_window":true,"sliding_window":4,"max_window_layers":0"#,
            "use_sliding_window: a sliding window of 4 in 16 positions is not supported"
        ),
        (
            qwen + #","layer_types":["sliding_attention"],"sliding_window":4"#,
            "layer_types: a sliding window of 4"
        ),
        (qwen + #","layer_types":["linear_attention"]"#, "layer_types: expected 1 of \"full_attention\""),
        (gpt2 + #","add_cross_attention":true"#, "'add_cross_attention' = true"),
        (gpt2 + #","activation_function":"geglu""#, "activation_function: expected one of"),
        (gpt2 + #","n_head":3"#, "n_embd: expected a multiple of the 3 heads, got 8"),
    ])
    func whatIsNotUnderstoodIsAnErrorThatNamesIt(text: String, message: String) {
        let found = Self.message(text)
        #expect(found?.hasPrefix("config.json: ") == true)
        #expect(found?.contains(message) == true, "\(found ?? "no error")")
    }

    @Test func generationDefaultsComeFromBothFiles() throws {
        let folder = try TemporaryFolder()
        let config =
            Self.llama + #","eos_token_id":[4,-1],"bos_token_id":1,"pad_token_id":-1,"temperature":0.7"#
        let json = try JSON.parse(Array("{\(config)}".utf8), source: "config.json")
        try Importer.synthesize(config: json, precision: .f32, output: folder.path)
        var model = try Importer.importCheckpoint(folder: folder.path)
        #expect(model.info.endTokens == [4])
        #expect(model.info.beginToken == 1)
        #expect(model.generation.padToken == nil)
        try OutputFile.remove("\(folder.path)/generation_config.json")
        model = try Importer.importCheckpoint(folder: folder.path)
        #expect(model.generation.temperature == 0.7)
        try folder.write(
            "generation_config.json",
            #"{"eos_token_id":[5,6],"do_sample":true,"top_k":20,"top_p":0.8,"repetition_penalty":1.1}"#)
        model = try Importer.importCheckpoint(folder: folder.path)
        #expect(model.info.endTokens == [5, 6])
        #expect(model.info.beginToken == 1)
        #expect(model.generation.doSample)
        #expect(model.generation.topK == 20)
        #expect(model.generation.temperature == nil)
        try folder.write("generation_config.json", #"{"top_p":"x"}"#)
        let error = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(
            error?.description.hasSuffix(#"generation_config.json: top_p: expected a finite number, got "x""#)
                == true)
    }

    @Test func mutatedConfigsNeverCrash() {
        let base = Array(
            (Self.qwen
                + #","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4}"#
                + #","eos_token_id":[1,2],"torch_dtype":"float16","layer_types":["full_attention"]"#).utf8)
        var random = Numbers(seed: 11)
        let pool = Array(#"0123456789[]{}",:-.enulltrf"#.utf8)
        var refused = 0
        for _ in 0..<300 {
            var bytes = base
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = pool.randomElement(using: &random) ?? 0
                case 1: bytes.remove(at: index)
                default: bytes.insert(pool.randomElement(using: &random) ?? 0, at: index)
                }
            }
            if Self.message(String(decoding: bytes, as: UTF8.self)) != nil { refused += 1 }
        }
        #expect(refused > 200)
    }
}
