import Apus

/// Generates with every backend and cache from end to end: import, compile, generate, check, time.
///
///     swift run -c release --package-path Examples GenerationDemo [MODEL [PROMPT-TOKENS [NEW-TOKENS]]]
///
/// MODEL is a folder, or a program of torch.export.save; without one it is the demo model of this repository. Each
/// engine must give the tokens of the reference interpreter; the table says how long it took.
@main
struct GenerationDemo {
    let model: ImportedModel
    let prompt: [Int32]
    let newTokens: Int

    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst().map { $0 }
        let path = arguments.first ?? "Models/demo"
        let source = try ModelSource(path: path)
        let demo = GenerationDemo(
            model: try source.importedModel(),
            prompt: try prompt(source, count: arguments.count > 1 ? Int(arguments[1]) : nil),
            newTokens: arguments.count > 2 ? Int(arguments[2]) ?? 32 : 32)
        try demo.run(path, tokenizer: source.tokenizer)
    }

    /// A text for a model that reads text; else, or where a length is asked for, tokens chosen by a formula.
    static func prompt(_ source: ModelSource, count: Int?) throws -> [Int32] {
        if count == nil, let tokenizer = source.tokenizer {
            return try tokenizer.encode("In the beginning God created the heaven and the earth. And")
        }
        let vocabulary = source.info.vocabularySize
        return (0..<max(count ?? 16, 1)).map { Int32(($0 * 7919 + 13) % vocabulary) }
    }

    func run(_ path: String, tokenizer: Tokenizer?) throws {
        let backend = try CPUBackend()
        print(
            "\(path): \(model.info.layerCount) layers, \(prompt.count) prompt tokens, \(newTokens) new ones, "
                + "\(backend.threadCount) threads, \(backend.instructionSet.rawValue)\n")

        let options = GenerationOptions(maxNewTokens: newTokens, ignoreEnd: true)
        let reference = try LanguageModel(model, options: LoadOptions(backend: .reference))
            .generate([prompt], options: options)[0].tokens
        if let tokenizer { print("… \(try tokenizer.decode(reference))\n") }

        print("| backend | cache | as the reference | first token | each further token | tokens/s |")
        print("| --- | --- | --- | ---: | ---: | ---: |")
        var differences = 0
        for kind in BackendKind.allCases where kind != .reference {
            for cache in kind.caches {
                for isAliased in cache.isStatic ? [true, false] : [true] {
                    let result = try generate(kind, cache, isAliased, on: backend, options)
                    let isEqual = result.tokens == reference
                    differences += isEqual ? 0 : 1
                    report(kind, cache.rawValue + (isAliased ? "" : ", copied"), isEqual, result.stats)
                }
            }
        }
        guard differences == 0 else {
            throw ApusError(.internal, "\(differences) engines do not give the tokens of the reference")
        }
    }

    /// Compiles an engine and generates by the function that its kind of cache has.
    func generate(
        _ kind: BackendKind, _ cache: CacheKind, _ isAliased: Bool, on backend: CPUBackend,
        _ options: GenerationOptions
    ) throws -> GenerationResult {
        let engine = try Compiler.compile(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(precision: .f32, backend: kind, cache: cache, aliasKVCache: isAliased),
            backend: backend)
        let results =
            switch engine.cacheMode {
            case .recompute: try engine.generate([prompt], on: backend, options: options)
            case .staticCache: try engine.generateWithStaticCache([prompt], on: backend, options: options)
            case .plugin: try engine.generateWithPlugin([prompt], on: backend, options: options)
            }
        return results[0]
    }

    func report(_ kind: BackendKind, _ cache: String, _ isEqual: Bool, _ stats: GenerationStats) {
        func milliseconds(_ seconds: Double?) -> String {
            seconds.map { "\(($0 * 1e5).rounded() / 100) ms" } ?? "–"
        }
        let rate = stats.decodeTokensPerSecond.map { "\(($0 * 10).rounded() / 10)" } ?? "–"
        print(
            "| \(kind.rawValue) | \(cache) | \(isEqual ? "yes" : "NO") | \(milliseconds(stats.timeToFirstToken)) | "
                + "\(milliseconds(stats.timePerOutputToken)) | \(rate) |")
    }
}
