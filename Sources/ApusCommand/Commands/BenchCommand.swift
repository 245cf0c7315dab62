import Apus
import ArgumentParser

/// `apus bench`: how fast a model runs here.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast a model runs on this machine.",
        discussion: """
            Feeds seeded random ids, so it needs no tokenizer, and decodes greedily without stopping. Prints a \
            Markdown table, or JSON, with a row for every combination of the lists given. The machine and the \
            formulae stand above the table.

              apus bench --model FOLDER --isl 512 --osl 32 --depth 0,2048
              apus bench --config config.json --random-weights --precision FP16,INT4
            """)

    @Option(help: ArgumentHelp("Folder of the model, or an engine.", valueName: "path"))
    var model: String?

    @Option(
        help: ArgumentHelp("A config.json in place of a folder; needs --random-weights.", valueName: "file"))
    var config: String?

    @Flag(help: "Use random weights of the shapes that --config describes.")
    var randomWeights = false

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp(
            "Types of the weights (default: the checkpoint's).", valueName: "type,..."))
    var precision: CommaList<WeightPrecision>?

    @OptionGroup
    var quantization: QuantizationFlags

    @Option(help: ArgumentHelp("Prompt lengths.", valueName: "n,..."))
    var isl = CommaList(512)

    @Option(
        help: ArgumentHelp("Numbers of tokens to generate; 1 measures the prompt alone.", valueName: "n,..."))
    var osl = CommaList(128)

    @Option(
        name: [.customLong("batch-size"), .customLong("batch_size")],
        help: ArgumentHelp("Numbers of sequences.", valueName: "n,..."))
    var batchSize = CommaList(1)

    @Option(
        help: ArgumentHelp("Tokens that the cache holds before the timing starts.", valueName: "n,..."))
    var depth = CommaList(0)

    @Option(
        help: ArgumentHelp("Threads that compute (default: one for each physical core).", valueName: "n,..."))
    var threads: CommaList<Int>?

    @OptionGroup
    var backends: BackendFlags

    @Option(help: ArgumentHelp("Timed generations of each row.", valueName: "n"))
    var iterations = 5

    @Option(help: ArgumentHelp("Generations before the timing starts.", valueName: "n"))
    var warmup = 1

    @Option(help: ArgumentHelp("Seed of the ids and of random weights.", valueName: "n"))
    var seed: UInt64 = 0

    @Flag(help: "Print what the kernels of one more generation of each row took.")
    var profile = false

    @Option(
        help: ArgumentHelp(
            "Write what --profile measures as a trace for chrome://tracing and Perfetto.", valueName: "file"))
    var trace: String?

    @Flag(help: "Print one JSON object: {\"machine\": {…}, \"rows\": […]}.")
    var json = false

    mutating func validate() throws {
        _ = try backends.variants()
        try quantization.check(precision?.values ?? [], hasConfig: config != nil)
        switch (model, config) {
        case (nil, nil), (.some, .some):
            throw ValidationError("Give either --model, or --config with --random-weights.")
        case (nil, .some):
            guard randomWeights else {
                throw ValidationError("--config has no weights: add --random-weights, or give --model.")
            }
        case (.some, nil):
            guard !randomWeights else {
                throw ValidationError("--random-weights goes with --config; --model brings its own weights.")
            }
        }
        func check(_ list: [Int], _ flag: String, least: Int) throws {
            if let wrong = list.first(where: { $0 < least }) {
                throw ValidationError("\(flag): expected counts of at least \(least), got \(wrong).")
            }
        }
        try check(isl.values, "--isl", least: 1)
        try check(osl.values, "--osl", least: 1)
        try check(batchSize.values, "--batch-size", least: 1)
        try check(depth.values, "--depth", least: 0)
        for count in threads?.values ?? [] { try Counts.checkThreads(count) }
        try check([iterations], "--iterations", least: 1)
        try check([warmup], "--warmup", least: 0)
        guard trace == nil || profile else {
            throw ValidationError("--trace writes a profile: add --profile.")
        }
    }

    func run() throws {
        try BenchmarkTable(self).run()
    }
}
