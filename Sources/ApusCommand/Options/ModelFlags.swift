import Apus
import ArgumentParser

/// Flags of `apus run` that say which model runs and how it is compiled.
struct ModelFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Folder with config.json, *.safetensors and a tokenizer, or an engine.", valueName: "path"))
    var model: String

    @Option(help: ArgumentHelp("Folder with tokenizer.json, if it is not the model's.", valueName: "folder"))
    var tokenizer: String?

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: Precision?

    @OptionGroup
    var backends: BackendFlags

    @Option(
        name: [.customLong("context-length"), .customLong("context_length"), .customLong("context")],
        help: ArgumentHelp(
            "Tokens of one sequence the KV cache has room for (default: prompt and new tokens).",
            valueName: "n"))
    var contextLength: Int?

    @Option(help: ArgumentHelp("Threads that compute (default: one for each physical core).", valueName: "n"))
    var threads: Int?

    @OptionGroup(title: "Engine cache options")
    var engineCache: EngineCacheFlags

    @OptionGroup var passes: PassFlags

    @Flag(
        name: [.customLong("dry-run"), .customLong("dry_run")],
        help: "Print what would be built (operators, kernels, buffers, memory), and build nothing.")
    var dryRun = false

    @Flag(help: "Tell on standard error what is imported, compiled and chosen.")
    var debug = false

    mutating func validate() throws {
        try Counts.check(contextLength, "--context-length")
        try Counts.checkThreads(threads)
    }
}

/// Checks of flags that count something.
enum Counts {
    /// Refuses a count that is too small.
    /// - Throws: a usage error that names the flag.
    static func check(_ value: Int?, _ flag: String, least: Int = 1) throws {
        guard let value, value < least else { return }
        throw ValidationError("\(flag): expected a count of at least \(least), got \(value).")
    }

    /// Refuses a number of threads that no pool may have.
    /// - Throws: a usage error.
    static func checkThreads(_ value: Int?) throws {
        let counts = ThreadPool.counts
        guard let value, !counts.contains(value) else { return }
        throw ValidationError(
            "--threads: expected \(counts.lowerBound) to \(counts.upperBound), got \(value).")
    }
}
