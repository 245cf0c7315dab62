import Apus

/// One row of `apus bench`: a setting and what was measured.
struct BenchmarkRow {
    /// Folder or config, without the folders above.
    var model: String
    /// Name of the backend that ran it.
    var device: String
    var precision: String
    var backend: String
    var cache: String
    var setting: BenchmarkSetting
    var threads: Int
    var times: GenerationTimes
    /// Bytes that one decode step reads, averaged over the steps; nil if the backend plans no reads.
    var bytesPerStep: Double?
    /// Measured read bandwidth in bytes a second.
    var bandwidth: Double
    var peakMemoryBytes: Int?
    var buildSeconds: Double
    var loadSeconds: Double
    /// What the kernels took, if that was asked for.
    var profiles: [ProfileTable] = []

    private var tpot: Double? { times.tpot(outputLength: setting.outputLength) }
    private var prefillRate: Double { Double(setting.batch * setting.inputLength) / times.ttft }
    private var decodeRate: Double? { tpot.map { Double(setting.batch) / $0 } }
    private var gigabytesPerSecond: Double? { tpot.flatMap { tpot in bytesPerStep.map { $0 / tpot / 1e9 } } }
    private var floorPercent: Double? { gigabytesPerSecond.map { $0 * 1e9 / bandwidth * 100 } }
    private var totals: Statistics { Statistics(times.total) }

    /// The row as an object of the JSON report.
    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        return .object(
            [
                ("model", .string(model)), ("device", .string(device)), ("precision", .string(precision)),
                ("backend", .string(backend)), ("cache", .string(cache)), ("batch_size", .int(setting.batch)),
                ("isl", .int(setting.inputLength)), ("osl", .int(setting.outputLength)),
                ("depth", .int(setting.depth)), ("threads", .int(threads)),
                ("ttft_ms", number(times.ttft * 1000)),
                ("tpot_ms", number(tpot.map { $0 * 1000 })),
                ("prefill_tokens_per_second", number(prefillRate)),
                ("decode_tokens_per_second", number(decodeRate)),
                ("gigabytes_per_second", number(gigabytesPerSecond)),
                ("read_floor_percent", number(floorPercent)),
                ("total_ms_median", number(totals.median * 1000)),
                ("total_ms_p99", number(totals.quantile(0.99) * 1000)),
                ("peak_memory_bytes", peakMemoryBytes.map { .int($0) } ?? .null),
                ("build_seconds", number(buildSeconds)), ("load_seconds", number(loadSeconds)),
            ] + (profiles.isEmpty ? [] : [("profiles", .array(profiles.map(\.json)))]))
    }

    /// The columns of the Markdown table.
    static let columns = [
        ("model", false), ("device", false), ("precision", false), ("backend", false), ("cache", false),
        ("batch", true),
        ("isl", true), ("osl", true), ("depth", true), ("threads", true), ("TTFT ms", true),
        ("TPOT ms", true),
        ("prefill tok/s", true), ("decode tok/s", true), ("GB/s", true), ("% of floor", true),
        ("total ms", true), ("p99 ms", true), ("peak MiB", true), ("build s", true), ("load s", true),
    ].map { MarkdownTable.Column(title: $0.0, isNumber: $0.1) }

    /// The cells under ``columns``.
    var cells: [String?] {
        [
            model, device, precision, backend, cache, "\(setting.batch)", "\(setting.inputLength)",
            "\(setting.outputLength)", "\(setting.depth)", "\(threads)",
            Figures.decimal(times.ttft * 1000, 1), Figures.decimal(tpot.map { $0 * 1000 }, 2),
            Figures.short(prefillRate), Figures.short(decodeRate), Figures.decimal(gigabytesPerSecond, 1),
            Figures.decimal(floorPercent, 0), Figures.decimal(totals.median * 1000, 1),
            Figures.decimal(totals.quantile(0.99) * 1000, 1),
            Figures.decimal(peakMemoryBytes.map { Double($0) / 1_048_576 }, 0),
            Figures.decimal(buildSeconds, 2),
            Figures.decimal(loadSeconds, 2),
        ]
    }

    /// How the figures come about, as it stands above the table.
    static let formulae = """
        TTFT: request to first token. TPOT: (end - first token) / (tokens - 1). Medians over the iterations.
        prefill tok/s = batch * isl / TTFT. decode tok/s = batch / TPOT.
        GB/s = bytes that a decode step must read (weights once, and the live KV cache) / TPOT.
        % of floor = GB/s / measured read bandwidth. total: request to last token.
        peak MiB: largest resident memory while the row was built and run.
        """
}
