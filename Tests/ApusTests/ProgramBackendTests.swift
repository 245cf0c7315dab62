import Apus
import Testing

/// Exported programs on every backend and cache give the first greedy tokens that transformers gives.
@Suite struct ProgramBackendTests {
    @Test(arguments: [
        "gpt2/trt-sdpa-tf4.52.4", "gpt2/raw-sdpa-ids-tf5.23.0", "llama2/core-sdpa-tf5.23.0",
        "llama/raw-sdpa-tf4.52.4", "llama/trt-sdpa-tf5.23.0", "llama/raw-sdpa-float16-tf5.23.0",
        "mistral/raw-sdpa-tf5.23.0", "qwen2/core-sdpa-tf4.57.6", "qwen2/raw-sdpa-tf5.0.0",
        "qwen3/core-sdpa-tf5.17.0", "qwen3/raw-eager-tf4.52.4", "qwen3/core-sdpa-static-tf5.23.0",
        "qwen3/core-sdpa-dynamic-tf5.23.0", "llama/raw-sdpa-dynamic-tf4.57.6",
    ])
    func greedyTokensAreThoseOfTransformers(program: String) throws {
        let root = try FixtureFolder("gpt2").path + "/../programs/"
        let folder = root + program.prefix { $0 != "/" }
        let model = try Importer.importProgram(path: root + program + ".pt2")
        let cases = try JSON.parse(contentsOfFile: folder + "/cases.json")["cases"]?.elements.map { element in
            func ids(_ name: String) -> [Int32] {
                element[name]?.elements.compactMap(\.int).map { Int32($0) } ?? []
            }
            return (prompt: ids("prompt"), tokens: ids("tokens"))
        }
        for kind in BackendKind.allCases where kind != .reference {
            for cache in kind.caches {
                let options = LoadOptions(backend: kind, cache: cache, threads: 2)
                let language = try LanguageModel(model, options: options)
                for (prompt, tokens) in try #require(cases) {
                    // The correctness table has all tokens; these are enough to see a wrong cache.
                    let count = min(prompt.count > 7 ? 2 : 6, tokens.count)
                    let result = try language.generate(
                        [prompt], options: GenerationOptions(maxNewTokens: count, ignoreEnd: true))
                    #expect(
                        result[0].tokens == Array(tokens.prefix(count)),
                        "\(kind), \(cache), \(prompt.count) tokens")
                }
            }
        }
    }
}
