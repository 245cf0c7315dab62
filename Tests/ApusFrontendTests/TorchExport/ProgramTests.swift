import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

/// Every exported program of `Tests/Fixtures` through the interpreter, against transformers.
@Suite struct ProgramTests {
    /// Largest error of a logit over the spread, as in ParityTests.
    static let tolerance: [String: Float] = ["float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2]

    @Test func everyFormHasFixtures() {
        let all = ProgramFixture.all
        #expect(all.count >= 26)
        for form in ["raw", "core", "trt"] {
            for attention in ["sdpa", "eager"] where form != "trt" || attention == "sdpa" {
                #expect(all.contains { $0.form == form && $0.attention == attention }, "\(form) \(attention)")
            }
        }
        for cache in ["none", "static", "dynamic"] { #expect(all.contains { $0.cache == cache }, "\(cache)") }
        for dtype in ["float32", "float16", "bfloat16"] {
            #expect(all.contains { $0.dtype == dtype }, "\(dtype)")
        }
    }

    @Test(arguments: ProgramFixture.all)
    func logitsEqualTransformers(_ fixture: ProgramFixture) throws {
        let model = try Importer.importProgram(path: fixture.path)
        let limit = try #require(Self.tolerance[fixture.dtype])
        for test in fixture.cases {
            var past: (Int, [Float])?
            if fixture.cache == "dynamic" {
                // The cache was recorded for the longest prompt.
                guard test.prompt.count == fixture.cases.map(\.prompt.count).max() else { continue }
                past = (fixture.past, try Fixtures.matrix("\(fixture.folder)/past\(fixture.past).npy").values)
            }
            let logits = try model.logits(test.prompt, past: past)
            let expected = test.logits.suffix(logits.count)
            let worst = zip(logits, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            #expect(worst / test.spread <= limit, "\(test.name): error \(worst / test.spread)")
            #expect(!logits.isEmpty)
        }
    }

    /// Programs traced on a GPU hold its attention, a mask padded to a multiple of 8, and assertions about that.
    @Test(arguments: [
        ("qwen2", "qwen2-core-sdpa-tf5.17.0", 2e-5),
        ("llama3-tied", "llama3-tied-raw-sdpa-float16-tf5.17.0", 2e-3),
    ])
    func programsOfAGPUEqualTransformers(checkpoint: String, name: String, limit: Float) throws {
        let model = try Importer.importProgram(path: "\(ProgramFixture.root)/cuda/\(name).pt2")
        #expect(model.notes.isEmpty)
        let folder = "\(Fixtures.folder)/\(checkpoint)"
        let json = try JSON.parse(contentsOfFile: "\(folder)/cases.json")
        var count = 0
        for entry in json["cases"].map({ Array($0.elements) }) ?? [] where entry["all_logits"] != nil {
            let prompt = entry["prompt"].map { $0.elements.compactMap(\.int) } ?? []
            let expected = try Fixtures.matrix("\(folder)/\(entry["all_logits"]?.string ?? "")").values
            let logits = try model.logits(prompt)
            let worst = zip(logits, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            let spread = Float(try #require(entry["spread"]?.double))
            #expect(logits.count == expected.count && worst / spread <= limit, "error \(worst / spread)")
            count += 1
        }
        #expect(count > 0)
    }

    /// Both lengths of the inputs are one symbol, because the program asserts it.
    @Test func assertedLengthsAreOneSymbol() throws {
        let model = try Importer.importProgram(
            path: "\(ProgramFixture.root)/cuda/qwen2-core-sdpa-tf5.17.0.pt2")
        let types = model.graph.inputs.map { model.graph.type(of: $0) }
        #expect(types == [TensorType](repeating: TensorType(.i64, [1, .symbol("S")]), count: 2))
        #expect(model.graph.symbols.map(\.definition) == [nil, .mod(.symbol("S"), 8)])
        #expect(model.graph.nodes.contains { $0.op == "pad" })
    }

    @Test(arguments: ProgramFixture.all)
    func theGraphReadsBackFromItsText(_ fixture: ProgramFixture) throws {
        let text = try Importer.importProgram(path: fixture.path).graph.text()
        #expect(try Graph(parsing: text, source: fixture.file).text() == text)
    }

    @Test func whatARuntimeMustKnow() throws {
        let raw = try Importer.importProgram(path: "\(ProgramFixture.root)/mistral/raw-sdpa-tf5.23.0.pt2")
        #expect(raw.info.modelType == "mistral")
        #expect(raw.info.vocabularySize == 53)
        #expect(raw.info.maxPositions == 96)
        #expect(raw.info.layerCount == 1)
        #expect(raw.info.precision == .f32)
        #expect(raw.info.endTokens.isEmpty && raw.states.isEmpty && raw.notes.isEmpty)
        let names = raw.graph.inputs.map { raw.graph.name(of: $0) ?? "" }
        #expect(names == ["input_ids", "position_ids"])
        #expect(raw.graph.type(of: raw.graph.inputs[0]) == TensorType(.i64, [1, .symbol("S")]))
        #expect(raw.graph.symbols == [Symbol("S", 1...96)])
        let half = try Importer.importProgram(
            path: "\(ProgramFixture.root)/llama/raw-sdpa-float16-tf5.23.0.pt2")
        #expect(half.info.precision == .f16)
        #expect(half.graph.type(of: half.graph.outputs[0]).element == .f16)
        #expect(half.info.layerCount == 2)
    }

    @Test func tiedWeightsAreOneParameter() throws {
        let model = try Importer.importProgram(path: "\(ProgramFixture.root)/llama/core-sdpa-tf5.23.0.pt2")
        let names = model.graph.nodes.compactMap { node -> String? in
            if case .string(let name)? = node.attributes["name"] { name } else { nil }
        }
        #expect(Set(names).count == names.count)
        #expect(names.filter { $0.contains("embed_tokens") || $0.contains("lm_head") }.count == 1)
        #expect(model.weights.type(of: "lm_head.weight") == TensorType(.f32, [53, 16]))
        #expect(model.weights.type(of: "model.embed_tokens.weight") == TensorType(.f32, [53, 16]))
    }

    @Test func frequenciesAreConstants() throws {
        let model = try Importer.importProgram(path: "\(ProgramFixture.root)/qwen2/core-sdpa-tf4.52.4.pt2")
        let constant = model.graph.nodes.first { node in
            model.graph.name(of: node.result) == "model.rotary_emb.inv_freq"
        }
        #expect(constant?.op == "constant")
    }

    /// A static cache comes in as zeros and goes out changed, in the order of the signature.
    @Test(arguments: ["qwen2/raw-sdpa-static-tf5.23.0", "qwen3/core-sdpa-static-tf5.23.0"])
    func staticCachesAreState(name: String) throws {
        let model = try Importer.importProgram(path: "\(ProgramFixture.root)/\(name).pt2")
        let inputs = model.graph.inputs.map { model.graph.name(of: $0) ?? "" }
        #expect(Array(inputs.prefix(2)) == ["input_ids", "cache_position"])
        #expect(model.states.map(\.input) == Array(inputs.dropFirst(2)))
        #expect(model.states.map(\.output) == Array(1...model.states.count))
        #expect(model.graph.outputs.count == 1 + model.states.count)
        for state in model.states {
            let input = try #require(model.graph.input(named: state.input))
            #expect(model.graph.type(of: input) == model.graph.type(of: model.graph.outputs[state.output]))
        }
        // What one call leaves in the cache, the next one sees.
        let fixture = try #require(ProgramFixture.all.first { $0.testDescription == "\(name).pt2" })
        let test = try #require(fixture.cases.first { $0.prompt.count == 7 })
        let interpreter = try Interpreter(graph: model.graph, weights: model.weights)
        var state: [String: Tensor] = [:]
        for entry in model.states {
            let type = model.graph.type(of: try #require(model.graph.input(named: entry.input)))
            let shape = try #require(type.constantShape)
            let zeros = [Double](repeating: 0, count: shape.reduce(1, *))
            state[entry.input] = Tensor(type.element, shape, numbers: zeros)
        }
        var logits: [Float] = []
        for range in [0..<4, 4..<5, 5..<7] {
            var feeds = state
            feeds["input_ids"] = Tensor(.i64, [1, range.count], ints: Array(test.prompt[range]))
            feeds["cache_position"] = Tensor(.i64, [range.count], ints: Array(range))
            let outputs = try interpreter.run(feeds)
            logits += outputs[0].floats
            for entry in model.states { state[entry.input] = outputs[entry.output] }
        }
        let worst = zip(logits, test.logits).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
        #expect(logits.count == test.logits.count && worst / test.spread <= 2e-5)
    }

    @Test func lengthsOfACacheAreOneSymbol() throws {
        let model = try Importer.importProgram(
            path: "\(ProgramFixture.root)/qwen3/core-sdpa-dynamic-tf5.23.0.pt2")
        let caches = model.graph.inputs.dropFirst(2).map { model.graph.type(of: $0) }
        #expect(caches == [TensorType](repeating: TensorType(.f32, [1, 2, .symbol("T"), 8]), count: 2))
        #expect(model.graph.outputs.count == 3)
    }

    @Test func programsAreToldByContent() throws {
        let folder = try TemporaryFolder()
        try folder.write("model.pt2", "not a zip")
        #expect(!Importer.isProgram(path: "\(folder.path)/model.pt2"))
        #expect(!Importer.isProgram(path: folder.path))
        #expect(!Importer.isProgram(path: "\(folder.path)/none"))
        #expect(Importer.isProgram(path: try #require(ProgramFixture.all.first).path))
    }
}
