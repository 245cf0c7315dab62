import Apus
import Testing

/// KV caches of other types than the weights.
@Suite struct KVCacheTypeTests {
    /// Rounding to 16 bits loses no greedy token of the fixtures; codes may turn a near tie, and give the same tokens
    /// in one pass as chunk by chunk.
    @Test(arguments: ["qwen2", "llama3-tied"], [ElementType.f32, .f16, .bf16, .i8])
    func givesTransformersTokens(name: String, element: ElementType) throws {
        let fixture = try FixtureFolder(name)
        var results: [[[Int32]]] = []
        for chunk in [nil, 7] {
            let model = try LanguageModel(
                folder: fixture.path,
                options: LoadOptions(kvCacheType: element, backend: .plugin, threads: 2, chunk: chunk))
            #expect(model.engine?.kvCacheType == element)
            let options = GenerationOptions(maxNewTokens: 12, ignoreEnd: true)
            results.append(try model.generate(fixture.prompts, options: options).map(\.tokens))
        }
        #expect(results[0] == results[1])
        let expected = fixture.cases.map { Array($0.tokens.prefix(12)) }
        let agreeing = zip(results[0], expected).map { zip($0, $1).prefix { $0 == $1 }.count }
        #expect(agreeing.reduce(0, +) >= 12 * expected.count * (element == .i8 ? 3 : 4) / 4, "\(agreeing)")
    }

    @Test func int8NeedsThePlugin() throws {
        let fixture = try FixtureFolder("qwen2")
        let error = #expect(throws: ApusError.self) {
            try LanguageModel(
                folder: fixture.path,
                options: LoadOptions(kvCacheType: .i8, backend: .sdpa, cache: .staticV1))
        }
        #expect(error?.message.contains("an INT8 cache is read by the attention plugin alone") == true)
    }
}
