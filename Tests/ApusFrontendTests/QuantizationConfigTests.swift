import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

@Suite struct QuantizationConfigTests {
    /// Rows of 64 columns, so that groups of 32 fit.
    static let llama =
        #""model_type":"llama","vocab_size":24,"hidden_size":64,"intermediate_size":64,"num_hidden_layers":1,"#
        + #""num_attention_heads":2,"max_position_embeddings":16"#
    static let gptq = #""quant_method":"gptq","bits":4,"group_size":32"#

    static func load(
        _ quantization: String, request: QuantizationRequest? = nil, base: String = llama
    ) throws -> ImportedModel {
        let text = quantization.isEmpty ? base : base + ",\"quantization_config\":{\(quantization)}"
        return try Importer.importConfig(
            JSON.parse(Array("{\(text)}".utf8), source: "config.json"), element: .f16, quantization: request)
    }

    static func group(_ weights: String, _ more: String = "") -> String {
        #""quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"targets":["Linear"],"#
            + "\"weights\":{\(weights)}\(more)}}"
    }

    static let refused: [(String, String)] = {
        var list: [(String, String)] = []
        func add(_ text: String, _ message: String) { list.append((text, message)) }
        add(
            #""quant_method":"fp8""#,
            #"quant_method: expected one of "awq", "bitsandbytes", "compressed-tensors", "gptq", got "fp8""#)
        add(#""bits":4"#, "quant_method: is missing")
        add(gptq + #","foo":1"#, "'foo' = 1: not understood")
        add(#""quant_method":"gptq","bits":3,"group_size":32"#, "bits: expected 4 or 8, got 3")
        add(#""quant_method":"gptq","bits":4,"group_size":0"#, "group_size: expected a number of columns")
        add(
            gptq + #","checkpoint_format":"marlin""#,
            #"checkpoint_format: expected "gptq" or "gptq_v2", got "marlin""#)
        add(gptq + #","pack_dtype":"int16""#, #"pack_dtype: expected "int32", got "int16""#)
        add(gptq + #","dynamic":{"+:.*up.*":{"bits":8}}"#, "dynamic: rule '+:.*up.*'")
        add(gptq + #","is_marlin_format":true"#, "'is_marlin_format' = true")
        add(
            #""quant_method":"awq","bits":4,"group_size":32,"version":"gemv""#,
            #"version: expected "gemm", got "gemv""#)
        add(#""quant_method":"awq","bits":8,"group_size":32"#, "bits: expected 4, got 8")
        add(#""load_in_4bit":true"#, "of bitsandbytes only LLM.int8 is supported")
        add(group(#""num_bits":4,"type":"float","group_size":32"#), #"type: expected "int", got "float""#)
        add(group(#""num_bits":4,"strategy":"tensor""#), #"strategy: expected "group" with a group_size"#)
        add(group(#""num_bits":4,"group_size":32,"foo":1"#), "'foo' = 1: not understood")
        add(
            group(#""num_bits":4,"group_size":32"#, #","format":"nvfp4-pack-quantized""#),
            "nvfp4-pack-quantized")
        add(
            group(#""num_bits":8"#, #","input_activations":{"num_bits":8,"type":"float"}"#),
            "got static 8-bit float")
        add(
            group(#""num_bits":8"#) + #","kv_cache_scheme":{"num_bits":8}"#,
            "kv_cache_scheme: a quantised KV cache")
        add(
            group(#""num_bits":8"#) + #","sparsity_config":{"format":"sparse-24-bitmask"}"#,
            "'sparsity_config'")
        add(group(#""num_bits":8"#) + #","ignore":["re:("]"#, "ignore: 're:(' is not a regular expression")
        add(
            #""quant_method":"gptq","bits":4,"group_size":48"#,
            "'model.layers.0.self_attn.q_proj' has 64 columns")
        return list
    }()

    @Test(arguments: refused)
    func whatIsNotUnderstoodIsAnErrorThatNamesIt(text: String, message: String) {
        let error = #expect(throws: ApusError.self) { try Self.load(text) }
        #expect(error?.description.contains(message) == true, "\(error.map { "\($0)" } ?? "")")
    }

    static let accepted: [(String, Int)] = {
        var list: [(String, Int)] = []
        func add(_ text: String, _ count: Int) { list.append((text, count)) }
        add(gptq, 7)
        add(gptq + #","lm_head":true,"format":"gptq_v2""#, 8)
        add(gptq + #","dynamic":{"-:.*up.*":{}}"#, 7)
        add(#""quant_method":"awq","bits":4,"group_size":32,"modules_to_not_convert":["mlp"]"#, 4)
        add(#""load_in_8bit":true,"llm_int8_skip_modules":["lm_head","q_proj"]"#, 6)
        add(group(#""num_bits":4,"group_size":32"#) + #","ignore":["lm_head","re:.*mlp.*"]"#, 4)
        add(group(#""num_bits":8,"group_size":null,"strategy":"channel","observer":"mse""#), 8)
        return list
    }()

    @Test(arguments: accepted)
    func randomWeightsOfAQuantizedConfigAreCodesWhereItSaysSo(text: String, count: Int) throws {
        let model = try Self.load(text)
        #expect(model.graph.nodes.filter { $0.op == "dequantize" }.count == count)
        #expect(model.graph.diagnostics().isEmpty)
    }

    @Test func randomCodesStandForNormalWeightsAndTheHeadIsUntied() throws {
        let request = QuantizationRequest(
            layers: QuantizationScheme(bits: 4, groupSize: 32, hasZeroPoints: true),
            head: QuantizationScheme(bits: 8, groupSize: nil))
        let model = try Self.load("", request: request, base: Self.llama + #","tie_word_embeddings":true"#)
        let names = model.graph.nodes.compactMap { node -> String? in
            if case .string(let name)? = node.attributes["name"] { name } else { nil }
        }
        #expect(names.contains("lm_head.weight.codes") && names.contains("model.embed_tokens.weight"))
        #expect(model.weights.type(of: "lm_head.weight.scales") == TensorType(.f16, [1, 24]))
        #expect(
            model.weights.type(of: "model.layers.0.mlp.up_proj.weight.scales") == TensorType(.f16, [2, 64]))
        var graph = model.graph
        let node = try #require(
            graph.nodes.first {
                $0.op == "dequantize" && graph.name(of: $0.result)?.contains("up_proj") == true
            })
        graph.outputs = [node.result]
        let ids = Tensor(.i64, [1, 1], ints: [1])
        let weight = try Interpreter(graph: graph, weights: model.weights).run([
            "input_ids": ids, "position_ids": ids,
        ])[0].floats
        let mean = weight.reduce(0, +) / Float(weight.count)
        let deviation = (weight.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(weight.count))
            .squareRoot()
        #expect(abs(mean) < 0.01 && abs(deviation - 0.125) < 0.01, "\(mean), \(deviation)")
        let both = #expect(throws: ApusError.self) { try Self.load(Self.gptq, request: request) }
        #expect(both?.description.contains("quantised already") == true)
    }
}
