import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

@Suite struct ImporterTests {
    static func config(_ text: String) throws -> JSON {
        try JSON.parse(Array("{\(text)}".utf8), source: "config.json")
    }

    @Test func everyWeightThatDoesNotFitIsListedAtOnce() throws {
        let folder = try TemporaryFolder()
        try Importer.synthesize(
            config: Self.config(ConfigTests.llama), precision: .f16, output: folder.path)
        let text = ConfigTests.llama.replacing(#""intermediate_size":6"#, with: #""intermediate_size":5"#)
            .replacing(#""num_hidden_layers":1"#, with: #""num_hidden_layers":2"#)
        try folder.write("config.json", "{\(text),\"tie_word_embeddings\":true,\"vocab_size\":11}")
        let error = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        let message = try #require(error?.description)
        for line in [
            "'model.layers.0.mlp.gate_proj.weight': expected F32, F16 or BF16 of shape [5, 8], got F16[6, 8]",
            "'model.layers.1.self_attn.q_proj.weight' [8, 8] is missing",
            "'lm_head.weight' differs from 'model.embed_tokens.weight' although tie_word_embeddings is true",
        ] { #expect(message.contains(line), "\(message)") }
        try folder.write("config.json", "{\(ConfigTests.llama),\"mlp_bias\":true}")
        let missing = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(missing?.description.contains("'model.layers.0.mlp.up_proj.bias' [6] is missing") == true)
        try folder.write("config.json", "{\(ConfigTests.qwen)}")
        let other = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(other?.code == .mismatch)
    }

    @Test func unexpectedWeightsAndTypesAreErrors() throws {
        let folder = try TemporaryFolder()
        let json = try Self.config(ConfigTests.gpt2)
        try Importer.synthesize(config: json, precision: .f32, output: folder.path)
        let model = try Importer.importCheckpoint(folder: folder.path)
        let shard = "model-00001-of-00001.safetensors"
        // The same weights through an index, so that one more file can add to them.
        let parameters = model.graph.nodes.compactMap { node -> String? in
            if case .string(let name)? = node.attributes["name"] { name } else { nil }
        }
        let map = parameters.map { "\"\($0)\":\"\(shard)\"" } + [#""extra":"extra.safetensors""#]
        try folder.write("model.safetensors.index.json", "{\"weight_map\":{\(map.joined(separator: ","))}}")
        var bytes: [UInt8] = []
        try MappedFile(path: "\(folder.path)/model.safetensors").withBytes { bytes = Array($0) }
        try folder.write(shard, bytes)
        try OutputFile.remove("\(folder.path)/model.safetensors")
        try folder.write(
            "extra.safetensors",
            safetensors(
                #"{"extra":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"transformer.h.0.attn.bias":"#
                    + #"{"dtype":"U8","shape":[4],"data_offsets":[8,12]}}"#, data: 12))
        let error = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(error?.description.hasSuffix(":\n  'extra' I64[1] is unexpected") == true)
    }

    @Test(arguments: [ElementType.f32, .f16, .bf16])
    func synthesizedCheckpointsImportAndHoldTheWeightsOfTheirSeed(precision: ElementType) throws {
        for shardBytes in [4_000_000_000, 500] {
            let folder = try TemporaryFolder()
            let json = try Self.config(ConfigTests.llama + #","torch_dtype":"float32""#)
            try Importer.synthesize(
                config: json, seed: 3, precision: precision, output: folder.path, shardBytes: shardBytes)
            let model = try Importer.importCheckpoint(folder: folder.path)
            #expect(model.info.precision == precision)
            let direct = try Importer.importConfig(json, seed: 3, element: precision)
            let other = try Importer.importConfig(json, seed: 4, element: precision)
            for name in [
                "model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight", "model.norm.weight",
            ] {
                var (a, b, c): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
                try model.weights.withBytes(of: name) { a = Array($0) }
                try direct.weights.withBytes(of: name) { b = Array($0) }
                try other.weights.withBytes(of: name) { c = Array($0) }
                #expect(model.weights.type(of: name)?.element == precision)
                #expect(!a.isEmpty && a == b && a != c)
            }
            let ids = Tensor(.i64, [1, 2], ints: [3, 4])
            let places = Tensor(.i64, [1, 2], ints: [0, 1])
            let logits = try Interpreter(graph: model.graph, weights: model.weights).run([
                "input_ids": ids, "position_ids": places,
            ])
            #expect(logits[0].floats.allSatisfy { $0.isFinite })
        }
    }

    @Test func randomWeightsAreNormalAroundZeroOrOne() throws {
        let weights = try RandomWeights(
            shapes: ["a.weight": [100, 64], "norm.weight": [6401], "a.bias": [64]], seed: 1, element: .f32)
        func floats(_ name: String) throws -> [Float] {
            var result: [Float] = []
            try weights.withBytes(of: name) { result = Array($0.assumingMemoryBound(to: Float.self)) }
            return result
        }
        func moments(_ x: [Float]) -> (mean: Double, deviation: Double) {
            let mean = x.reduce(0) { $0 + Double($1) } / Double(x.count)
            let variance = x.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(x.count)
            return (mean, variance.squareRoot())
        }
        let matrix = moments(try floats("a.weight"))
        #expect(abs(matrix.mean) < 0.006 && abs(matrix.deviation - 0.125) < 0.004)
        let norm = moments(try floats("norm.weight"))
        #expect(abs(norm.mean - 1) < 0.002 && abs(norm.deviation - 0.02) < 0.001)
        #expect(abs(moments(try floats("a.bias")).mean) < 0.01)
        #expect(throws: ApusError.self) { try RandomWeights(shapes: [:], seed: 0, element: .i8) }
    }

    @Test func foldersThatAreNotModelsAreErrors() throws {
        let missing = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: "/no/such") }
        #expect(missing?.description == "/no/such: no such folder; check the path")
        let folder = try TemporaryFolder()
        let empty = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(empty?.description == "\(folder.path)/config.json: no such file; check the path")
        try folder.write("config.json", "{\"model_type\": ")
        let malformed = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(malformed?.code == .invalidInput)
        try folder.write("config.json", "[]")
        let list = #expect(throws: ApusError.self) { try Importer.importCheckpoint(folder: folder.path) }
        #expect(list?.description == "\(folder.path)/config.json: expected an object, got array")
    }
}
