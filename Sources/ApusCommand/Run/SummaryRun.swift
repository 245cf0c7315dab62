import Apus

/// The part of `apus run` behind `--benchmark`: whole generations of random ids, summed up as run_llm.py does.
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
        let loader = try ModelLoader(command.model, requiresTokenizer: false)
        if comparison.runsPyTorch { try loader.requireFolder(for: "--enable-pytorch-run") }
        try setting.check(loader.info, flags: "--isl or --num-tokens")
        let model = try loader.load(batchSize: setting.batch, contextLength: nil)
        let seed = command.sampling.seed
        let prompts = GenerationBenchmark.randomIDs(
            batch: setting.batch, count: setting.inputLength, vocabularySize: model.info.vocabularySize,
            seed: seed)
        let benchmark = try GenerationBenchmark(
            model.makeExecutor(setting.limits(chunk: BenchmarkSetting.chunk)), setting, prompts: prompts,
            seed: seed)
        let times = try benchmark.run(warmup: 1, iterations: comparison.iterations)
        let precision = Precision(model.precision) ?? .fp32
        var summaries = [
            Summary(
                backend: command.model.backend.rawValue, precision: precision, setting: setting, times: times,
                compileSeconds: model.buildSeconds)
        ]
        if comparison.runsPyTorch {
            let request = PyTorchComparison.Request(
                model: command.model.model, precision: precision, prompts: prompts,
                tokenCount: setting.outputLength, endTokens: [], threads: model.backend?.threadCount ?? 1,
                iterations: comparison.iterations)
            switch try PyTorchComparison.run(request, showsDiagnostics: command.model.debug) {
            case .unavailable(let reason):
                try ByteOutput.standardError.line("--enable-pytorch-run: \(reason)")
                try ByteOutput.standardError.flush()
            case .compared(let comparison):
                summaries += comparison.runs.map {
                    Summary(
                        backend: $0.name, precision: precision, setting: setting, times: $0.run.times,
                        compileSeconds: nil)
                }
            }
        }
        let text =
            command.json
            ? JSONValue.object([("benchmark", .array(summaries.map(\.json)))]).text() + "\n"
            : summaries.map(\.text).joined(separator: "\n")
        try ByteOutput.standardOutput.write(text)
        try ByteOutput.standardOutput.flush()
    }

    /// Figures under the names that run_llm.py gives them, and those that it lacks.
    struct Summary {
        var backend: String
        var precision: Precision
        var setting: BenchmarkSetting
        var times: GenerationTimes
        /// Seconds to compile; nil where nothing is compiled.
        var compileSeconds: Double?

        /// Names and values; FPS counts whole generations a second, as there.
        var facts: [(name: String, value: JSONValue)] {
            let total = Statistics(times.total)
            let batch = Double(setting.batch)
            let rates = Statistics(times.total.map { batch / $0 })
            let tpot = times.tpot(outputLength: setting.outputLength)
            func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
            return [
                ("Backend", .string(backend)), ("Model Precision", .string(precision.rawValue)),
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
