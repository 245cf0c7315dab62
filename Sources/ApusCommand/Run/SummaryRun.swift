import Apus

/// The part of `apus run` behind `--benchmark`: whole generations of random ids, summed up as run_llm.py does, or as
/// a table when several backends and caches are asked for.
struct SummaryRun {
    let command: RunCommand

    /// Runs the command.
    init(_ command: RunCommand) { self.command = command }

    /// Writes the summary, or one JSON object, to standard output.
    func run() throws {
        let comparison = command.comparison
        let setting = BenchmarkSetting(
            batch: command.input.batchSize ?? 1, inputLength: comparison.isl,
            outputLength: command.input.tokenCount ?? InputFlags.defaultTokenCount, depth: 0)
        let variants = Self.rows(try command.model.backends.variants(of: command.model.model))
        let loader = try ModelLoader(command.model, variants, requiresTokenizer: false)
        if comparison.runsPyTorch { try loader.requireFolder(for: "--enable-pytorch-run") }
        try setting.check(loader.info, flags: "--isl or --num-tokens")
        let prompts = GenerationBenchmark.randomIDs(
            batch: setting.batch, count: setting.inputLength, vocabularySize: loader.info.vocabularySize,
            seed: command.sampling.seed)
        var summaries: [Summary] = []
        for variant in variants {
            summaries.append(
                try measure(variant, loader, setting, prompts))
        }
        if comparison.runsPyTorch { summaries += try pytorch(summaries[0], prompts) }
        let output = ByteOutput.standardOutput
        if command.json {
            try output.line(JSONValue.object([("benchmark", .array(summaries.map(\.json)))]).text())
        } else if variants.count > 1 {
            try output.write(SummaryTable(summaries).text)
        } else {
            try output.write(summaries.map(\.text).joined(separator: "\n"))
        }
        try output.flush()
    }

    /// The rows of a table: beside each static cache that is updated in place the same copied, to show the difference.
    static func rows(_ variants: [Variant]) -> [Variant] {
        guard variants.count > 1 else { return variants }
        return variants.flatMap { variant in
            variant.cache.isStatic && variant.isAliased
                ? [
                    variant,
                    Variant(
                        backend: variant.backend, cache: variant.cache, isAliased: false,
                        isExact: variant.isExact),
                ]
                : [variant]
        }
    }

    private func measure(
        _ variant: Variant, _ loader: ModelLoader, _ setting: BenchmarkSetting, _ prompts: [[Int32]]
    ) throws(ApusError) -> Summary {
        let model = try loader.load(
            variant, batchSize: setting.batch, contextLength: nil)
        let benchmark = try GenerationBenchmark(
            model.makeExecutor(setting.limits(chunk: model.promptChunk)), setting, prompts: prompts,
            seed: command.sampling.seed)
        let times = try benchmark.run(warmup: 1, iterations: command.comparison.iterations)
        return Summary(
            backend: variant.backend.rawValue, cache: variant.cacheName,
            precision: Precision(model.precision) ?? .fp32, weights: model.weightPrecision, setting: setting,
            times: times,
            compileSeconds: model.buildSeconds, threads: model.threadCount)
    }

    private func pytorch(_ own: Summary, _ prompts: [[Int32]]) throws -> [Summary] {
        let request = PyTorchComparison.Request(
            model: command.model.model, precision: own.precision, prompts: prompts,
            tokenCount: own.setting.outputLength, endTokens: [], threads: own.threads,
            iterations: command.comparison.iterations)
        switch try PyTorchComparison.run(request, showsDiagnostics: command.model.debug) {
        case .unavailable(let reason):
            try ByteOutput.standardError.line("--enable-pytorch-run: \(reason)")
            try ByteOutput.standardError.flush()
            return []
        case .compared(let comparison):
            return comparison.runs.map {
                Summary(
                    backend: $0.name, cache: nil, precision: own.precision, weights: own.precision.rawValue,
                    setting: own.setting,
                    times: $0.run.times, compileSeconds: nil, threads: own.threads)
            }
        }
    }

    /// Figures under the names that run_llm.py gives them, and those that it lacks.
    struct Summary {
        var backend: String
        /// Nil where the backend's name tells.
        var cache: String?
        /// Type of the weights that are not quantised.
        var precision: Precision
        /// Type of the weights as tables name it.
        var weights: String
        var setting: BenchmarkSetting
        var times: GenerationTimes
        /// Seconds to compile; nil where nothing is compiled.
        var compileSeconds: Double?
        var threads = 1

        /// Median time between tokens in seconds; nil for one token.
        var tpot: Double? { times.tpot(outputLength: setting.outputLength) }

        /// Names and values; FPS counts whole generations a second, as there.
        var facts: [(name: String, value: JSONValue)] {
            let total = Statistics(times.total)
            let batch = Double(setting.batch)
            let rates = Statistics(times.total.map { batch / $0 })
            func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
            return [
                ("Backend", .string(backend)), ("Cache", cache.map { .string($0) } ?? .null),
                ("Model Precision", .string(weights)),
                ("Batch size", .int(setting.batch)), ("ISL", .int(setting.inputLength)),
                ("OSL", .int(setting.outputLength)), ("Median(FPS)", number(rates.median)),
                ("Mean(FPS)", number(rates.mean)), ("Median-Latency(ms)", number(total.median * 1000)),
                ("Mean-Latency(ms)", number(total.mean * 1000)),
                ("Latency-StdDev(ms)", number(total.deviation * 1000)),
                ("Latency-p99(ms)", number(total.quantile(0.99) * 1000)),
                ("Compile Time(s)", number(compileSeconds)), ("TTFT(ms)", number(times.ttft * 1000)),
                ("TPOT(ms)", number(tpot.map { $0 * 1000 })),
                ("Decode(tokens/s)", number(tpot.map { batch / $0 })),
            ]
        }

        var json: JSONValue { .object(facts.map { ($0.name, $0.value) }) }

        /// A line for each fact.
        var text: String {
            facts.map { name, value in
                let shown =
                    switch value {
                    case .double(let number): Figures.decimal(number, 3)
                    case .string(let text): text
                    case .null: "–"
                    default: value.text()
                    }
                return "\(name): \(shown)\n"
            }.joined()
        }
    }
}
