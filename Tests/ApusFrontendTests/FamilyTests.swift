import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

/// Every fixture through import and the reference interpreter, against the logits that transformers computed.
@Suite struct FamilyTests {
    /// Fixtures whose config asks for what is not supported, and the key that the error has to name.
    static let rejected = ["llama-rope-yarn": "rope_type", "qwen2-sliding": "use_sliding_window"]

    @Test(arguments: Fixtures.names.filter { rejected[$0] == nil })
    func logitsEqualTransformers(name: String) throws {
        let folder = "\(Fixtures.folder)/\(name)"
        let model = try Importer.importCheckpoint(folder: folder)
        #expect(model.graph.diagnostics().isEmpty)
        #expect(try Graph(parsing: model.graph.text()).text() == model.graph.text())
        let interpreter = try Interpreter(graph: model.graph, weights: model.weights)
        let json = try JSON.parse(contentsOfFile: "\(folder)/cases.json")
        let ends = json["eos_token_ids"]?.elements.compactMap(\.int) ?? []
        #expect(model.info.endTokens.map { Int($0) } == ends)
        let dtypes = ["float32": ElementType.f32, "float16": .f16, "bfloat16": .bf16]
        #expect(model.info.precision == dtypes[json["dtype"]?.string ?? ""])
        var count = 0
        for test in try #require(json["cases"]).elements {
            let prompt = try #require(test["prompt"]).elements.compactMap(\.int)
            let tokens = try #require(test["tokens"]).elements.compactMap(\.int)
            let spread = Float(try #require(test["spread"]?.double))
            let expected = try Fixtures.matrix("\(folder)/\(try #require(test["logits"]?.string))")
            let vocabulary = expected.shape[1]
            #expect(model.info.vocabularySize == vocabulary)
            // Causal: one pass over prompt and tokens gives every step's logits.
            let ids = prompt + tokens.dropLast()
            let logits = try interpreter.run([
                "input_ids": Tensor(.i64, [1, ids.count], ints: ids),
                "position_ids": Tensor(.i64, [1, ids.count], ints: Array(ids.indices)),
            ])[0].floats
            let got = logits[((prompt.count - 1) * vocabulary)...]
            let error = zip(got, expected.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / spread
            #expect(error <= 2e-5, "\(name), prompt of \(prompt.count)")
            if let file = test["all_logits"]?.string {
                let all = try Fixtures.matrix("\(folder)/\(file)")
                let error = zip(logits, all.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / spread
                #expect(error <= 2e-5, "\(name), all positions")
            }
            for (step, token) in tokens.enumerated() {
                let row = Array(got.dropFirst(step * vocabulary).prefix(vocabulary))
                #expect(row.indices.max { row[$0] < row[$1] } == token)
            }
            count += 1
        }
        #expect(count >= 3)
    }

    @Test(arguments: rejected.sorted { $0.key < $1.key })
    func whatIsNotSupportedIsRefusedByName(name: String, key: String) throws {
        let error = #expect(throws: ApusError.self) {
            try Importer.importCheckpoint(folder: "\(Fixtures.folder)/\(name)")
        }
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains(key) == true)
    }

    @Test func fixturesAreThere() { #expect(Fixtures.names.count >= 20) }
}
