import Apus

/// The rows of `apus bench`, one for each combination of the lists given.
struct BenchmarkTable {
    let command: BenchCommand

    /// Measures what the command asks for.
    init(_ command: BenchCommand) { self.command = command }

    /// Writes the table, or one JSON object, to standard output; a row of the table as soon as it is there.
    func run() throws {
        let threadCounts = command.threads?.values ?? [Topology.defaultThreadCount()]
        var machines: [Int: Machine] = [:]
        var rows: [BenchmarkRow] = []
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        for precision in command.precision?.values.map(Optional.some) ?? [nil] {
            for variant in try command.backends.variants(of: command.model ?? "") {
                try measure(precision, variant, threadCounts, &machines, bar) { row in rows.append(row) }
            }
        }
        bar?.finish()
        guard let machine = machines[threadCounts.max() ?? 1] else { return }
        let output = ByteOutput.standardOutput
        if command.json {
            let report = JSONValue.object([("machine", machine.json), ("rows", .array(rows.map(\.json)))])
            try output.line(report.text())
        } else {
            var table = MarkdownTable(BenchmarkRow.columns)
            for row in rows { table.append(row.cells) }
            try output.write(
                machine.summary + Self.gpus(rows, machine) + "\n\n" + BenchmarkRow.formulae + "\n\n"
                    + table.text)
            for profile in rows.flatMap(\.profiles) { try output.write("\n" + profile.text) }
        }
        try output.flush()
        guard let path = command.trace else { return }
        var trace = TraceFile()
        for row in rows {
            for profile in row.profiles {
                trace.add("\(row.model) \(row.precision) \(row.backend): \(profile.title)", profile.profile)
            }
        }
        try trace.write(to: path)
    }

    /// The GPUs that computed rows, with the bandwidth that was measured; empty if the processor computed all.
    private static func gpus(_ rows: [BenchmarkRow], _ machine: Machine) -> String {
        guard let row = rows.first(where: { $0.device == "cuda" }) else { return "" }
        let names = machine.cuda.gpus.map { "cuda:\($0.ordinal) \($0.description)" }.joined(separator: "; ")
        return "\n\(names); NVIDIA driver \(machine.cuda.driver); read bandwidth: "
            + "\(Figures.decimal(row.bandwidth / 1e9, 0)) GB/s"
    }

    /// Settings in the order of the lists.
    var settings: [BenchmarkSetting] {
        var settings: [BenchmarkSetting] = []
        for batch in command.batchSize.values {
            for isl in command.isl.values {
                for osl in command.osl.values {
                    for depth in command.depth.values {
                        settings.append(
                            BenchmarkSetting(batch: batch, inputLength: isl, outputLength: osl, depth: depth))
                    }
                }
            }
        }
        return settings
    }

    private func measure(
        _ precision: WeightPrecision?, _ variant: Variant, _ threadCounts: [Int],
        _ machines: inout [Int: Machine], _ bar: ProgressBar?, _ append: (BenchmarkRow) -> Void
    ) throws {
        ProcessMemory.resetPeak()
        let start = ContinuousClock.now
        // Among several the reference backend computes in FP32, whatever the others compute in.
        let isOneOfMany = try command.backends.variants().count > 1
        let options = variant.options(
            precision: isOneOfMany && variant.backend == .reference ? nil : precision?.plain?.element,
            threads: threadCounts.first)
        let model: LanguageModel
        let loadSeconds: Double
        if let path = command.model {
            let source = try ModelSource(path: path, options: options)
            for setting in settings { try setting.check(source.info) }
            try Self.measure(&machines, threadCounts)
            model = try LanguageModel(source, options: options, progress: bar)
            loadSeconds = model.loadSeconds
        } else {
            let imported = try importConfig(precision)
            loadSeconds = (ContinuousClock.now - start) / .seconds(1)
            for setting in settings { try setting.check(imported.info) }
            try Self.measure(&machines, threadCounts)
            model = try LanguageModel(imported, options: options, loadSeconds: loadSeconds, progress: bar)
        }
        bar?.finish()
        Warnings.tell(model.warnings)
        for threads in threadCounts {
            for setting in settings {
                bar?.progress(
                    "Measuring batch \(setting.batch), \(setting.inputLength) + \(setting.outputLength) at depth "
                        + "\(setting.depth)", completed: 0, total: 1)
                let bandwidth =
                    try (model.backend as? CUDABackend)?.measureReadBandwidth() ?? machines[threads]?
                    .readBandwidth
                    ?? .nan
                let (times, profiles) = try time(model, setting, threads: threads, bandwidth)
                append(
                    BenchmarkRow(
                        model: name, device: model.engine?.origin.device ?? "cpu",
                        precision: model.weightPrecision,
                        backend: variant.backend.rawValue, cache: variant.cacheName, setting: setting,
                        threads: model.backend == nil ? 1 : threads, times: times,
                        bytesPerStep: model.engine.flatMap { Self.bytesPerStep($0, setting) },
                        bandwidth: bandwidth,
                        peakMemoryBytes: ProcessMemory.peakBytes(), buildSeconds: model.buildSeconds,
                        loadSeconds: loadSeconds, profiles: profiles))
                ProcessMemory.resetPeak()
            }
        }
    }

    /// Measures the machine once with each number of threads: when the model is known to be there, so that a wrong path
    /// is told at once, and before it takes its memory.
    private static func measure(_ machines: inout [Int: Machine], _ threadCounts: [Int]) throws(ApusError) {
        for count in threadCounts where machines[count] == nil {
            machines[count] = try Machine(CPUBackend(threads: count))
            ProcessMemory.resetPeak()
        }
    }

    private func time(
        _ model: LanguageModel, _ setting: BenchmarkSetting, threads: Int, _ bandwidth: Double
    ) throws(ApusError) -> (GenerationTimes, [ProfileTable]) {
        let limits = setting.limits(chunk: model.promptChunk)
        let executor: any Executor
        if let engine = model.engine, model.backend is CPUBackend, model.threadCount != threads {
            executor = try CPUBackend(threads: threads).makeExecutor(engine, limits: limits)
        } else {
            executor = try model.makeExecutor(limits)
        }
        let prompts = GenerationBenchmark.randomIDs(
            batch: setting.batch, count: setting.inputLength, vocabularySize: executor.vocabularySize,
            seed: command.seed)
        let benchmark = try GenerationBenchmark(executor, setting, prompts: prompts, seed: command.seed)
        let times = try benchmark.run(warmup: command.warmup, iterations: command.iterations)
        Warnings.tell(executor.warnings)
        guard command.profile, let engine = model.engine else { return (times, []) }
        let (prefill, decode) = try benchmark.profile()
        let depth = setting.depth + setting.inputLength
        var tables: [ProfileTable] = []
        if let prefill {
            tables.append(
                ProfileTable(
                    "prefill of \(setting.inputLength) at \(setting.depth)", prefill, of: engine,
                    batch: setting.batch, depth: nil, bandwidth: bandwidth))
        }
        if let decode {
            tables.append(
                ProfileTable(
                    "decode at \(depth)", decode, of: engine, batch: setting.batch,
                    depth: depth + setting.outputLength / 2, bandwidth: bandwidth))
        }
        return (times, tables)
    }

    private func importConfig(_ precision: WeightPrecision?) throws(ApusError) -> ImportedModel {
        let path = command.config ?? ""
        let json = try JSON.parse(contentsOfFile: path)
        return try command.quantization.importConfig(json, precision, seed: command.seed)
    }

    /// The folder's or engine's name; for a config the folder that holds it, or its own name.
    private var name: String {
        let parts = (command.model ?? command.config ?? "").split(separator: "/").map(String.init)
        if command.model == nil, parts.count > 1, parts.last == "config.json" {
            return parts[parts.count - 2]
        }
        return parts.last ?? ""
    }

    /// Bytes that a decode step reads, the mean over all of them: the cache grows by a token each.
    ///
    /// Nil without a
    /// cache, where reading is not what a step takes its time for.
    static func bytesPerStep(_ engine: Engine, _ setting: BenchmarkSetting) -> Double? {
        guard engine.cacheMode != .recompute else { return nil }
        let steps = setting.outputLength - 1
        guard steps > 0 else { return 0 }
        let start = setting.depth + setting.inputLength
        let sum = (1...steps).reduce(0) {
            $0 + engine.bytesPerDecodeStep(batch: setting.batch, depth: start + $1)
        }
        return Double(sum) / Double(steps)
    }
}
