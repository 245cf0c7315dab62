import Apus
import Testing

@Suite struct LanguageModelTests {
    private static let families = ["gpt2", "llama2", "llama3-bf16-sharded", "qwen2", "qwen3"]

    @Test(arguments: families, [7, 512])
    func aBatchOfAllPromptsGivesTransformersTokens(name: String, chunk: Int) throws {
        let fixture = try FixtureFolder(name)
        let model = try LanguageModel(folder: fixture.path, options: LoadOptions(threads: 2, chunk: chunk))
        let free = try model.generate(
            fixture.prompts, options: GenerationOptions(maxNewTokens: 16, ignoreEnd: true))
        #expect(free.map(\.tokens) == fixture.cases.map(\.tokens))
        let ended = try model.generate(fixture.prompts, options: GenerationOptions(maxNewTokens: 16))
        #expect(ended.map(\.tokens) == fixture.cases.map(\.tokensWithEnd))
        for result in ended {
            #expect((result.finishReason == .length) == (result.tokens.count == 16 && !isEnd(result, model)))
        }
    }

    private func isEnd(_ result: GenerationResult, _ model: LanguageModel) -> Bool {
        result.tokens.last.map(model.info.endTokens.contains) ?? false
    }

    @Test(arguments: families)
    func theReferenceBackendAgrees(name: String) throws {
        let fixture = try FixtureFolder(name)
        let model = try LanguageModel(
            folder: fixture.path, options: LoadOptions(backend: .reference, chunk: 8))
        let short = fixture.cases.filter { $0.prompt.count < 20 }
        let results = try model.generate(
            short.map(\.prompt), options: GenerationOptions(maxNewTokens: 8, ignoreEnd: true))
        #expect(results.map(\.tokens) == short.map { Array($0.tokens.prefix(8)) })
        #expect(model.precision == .f32 && model.engine == nil)
    }

    @Test func memoryGrowsWithTheCallAndIsKept() throws {
        let fixture = try FixtureFolder("qwen3")
        let model = try LanguageModel(folder: fixture.path, options: LoadOptions(threads: 1))
        #expect(model.workingBytes == 0)
        let options = GenerationOptions(maxNewTokens: 4, ignoreEnd: true)
        _ = try model.generate([fixture.prompts[0]], options: options)
        let small = model.workingBytes
        _ = try model.generate(fixture.prompts, options: options)
        let large = model.workingBytes
        #expect(small > 0 && large > small)
        let again = try model.generate([fixture.prompts[0]], options: options)
        #expect(model.workingBytes == large)
        #expect(again[0].tokens == Array(fixture.cases[0].tokens.prefix(4)))
    }

    @Test func textNeedsATokenizer() throws {
        let fixture = try FixtureFolder("qwen3")
        let model = try LanguageModel(folder: fixture.path)
        #expect(model.tokenizer == nil)
        let error = #expect(throws: ApusError.self) { try model.generate("Hello") }
        #expect(error?.code == .notFound)
        #expect(throws: ApusError.self) {
            try LanguageModel(folder: fixture.path, options: LoadOptions(requiresTokenizer: true))
        }
    }

    @Test func streamsTheTextOfABlockingCall() async throws {
        let fixture = try FixtureFolder("gpt2")
        let imported = try Importer.importCheckpoint(folder: fixture.path)
        let json = Array(Tokenizer.byteLevelTokenizerJSON().text().utf8)
        let tokenizer = try Tokenizer(json: JSON.parse(json, source: "tokenizer.json"))
        let model = try LanguageModel(imported, tokenizer: tokenizer)
        let options = GenerationOptions(maxNewTokens: 40, ignoreEnd: true)
        var pieces: [String] = []
        let whole = try model.generate("In the beginning", options: options) {
            piece throws(ApusError) in pieces.append(piece)
        }
        #expect(whole.text == pieces.joined() && whole.tokens.count == 40)
        var streamed = ""
        for try await piece in model.stream("In the beginning", options: options) { streamed += piece }
        #expect(streamed == whole.text)
        // A reader that leaves stops the writer; the model is free again.
        for try await _ in model.stream("In the beginning", options: options) { break }
        #expect(try model.generate("In the beginning", options: options).tokens == whole.tokens)
    }

    @Test func refusesOptionsThatDoNotGoTogether() throws {
        let folder = try FixtureFolder("gpt2").path
        func message(_ options: LoadOptions) -> String? {
            #expect(throws: ApusError.self) { try LanguageModel(folder: folder, options: options) }?.message
        }
        #expect(
            message(LoadOptions(backend: .reference, device: .cuda(0)))
                == "device: the reference backend runs on the processor; leave the device out")
        #expect(
            message(LoadOptions(precision: .f16, backend: .reference))
                == "precision: the reference backend computes in FP32, got f16; "
                + "leave the precision out or choose another backend")
        #expect(message(LoadOptions(batchSize: 0)) == "batchSize: expected at least 1, got 0")
        #expect(message(LoadOptions(chunk: -1)) == "chunk: expected at least 1, got -1")
        #expect(message(LoadOptions(threads: 0)) == "threads: expected 1 to 1024, got 0")
    }

    @Test func aFixedContextIsALimit() throws {
        let fixture = try FixtureFolder("gpt2")
        let model = try LanguageModel(folder: fixture.path, options: LoadOptions(contextLength: 10))
        let error = #expect(throws: ApusError.self) {
            try model.generate([[1, 2, 3]], options: GenerationOptions(maxNewTokens: 20))
        }
        #expect(error?.message.contains("exceed the context of 10 tokens") == true)
    }

    @Test func samplingDefaultsAreThoseOfTransformers() {
        var defaults = GenerationDefaults()
        defaults.temperature = 0.6
        #expect(SamplingOptions(defaults).isGreedy)
        defaults.doSample = true
        defaults.topP = 0.9
        defaults.repetitionPenalty = 1.1
        #expect(
            SamplingOptions(defaults, seed: 3)
                == SamplingOptions(temperature: 0.6, topK: 50, topP: 0.9, repetitionPenalty: 1.1, seed: 3))
    }
}
