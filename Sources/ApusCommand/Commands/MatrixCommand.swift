import Apus
import ArgumentParser

/// `apus matrix`: whether every backend and cache gives a model's own tokens.
struct MatrixCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "matrix",
        abstract: "Check the greedy tokens of every backend and cache, model by model.",
        discussion: """
            A row for each model, a column for each backend and cache. A cell says whether all greedy tokens are \
            those expected, and how long the generations took. Expected are the tokens that transformers gave, \
            from a cases.json in the model's folder, beside the program, or of --expected; where there is none, the \
            tokens of the reference backend. A token whose logit the reference cannot tell from the expected one's is a \
            tie, and is named: they lie within 0.01 % of the spread of the logits in FP32, 0.2 % in FP16, 1.6 % in BF16; \
            the generation goes on behind the expected token. The command ends with status 65 if any cell differs.

              apus matrix --model FOLDER --model FOLDER
              apus matrix --model FOLDER --expected cases.json --precision FP16 --json

            A file of expected tokens holds {"cases": [{"name", "prompt": [ids], "tokens": [ids]}]}.
            """)

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Folder of a model, or an exported program; repeat it for more rows.", valueName: "path"))
    var model: [String]

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Prompts and expected tokens of the models, in their order (default: cases.json in the folder).",
            valueName: "file"))
    var expected: [String] = []

    @OptionGroup
    var backends: BackendFlags

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: Precision?

    @Option(
        name: [.customLong("num-tokens"), .customLong("num_tokens")],
        help: ArgumentHelp("Most tokens of each prompt to compare.", valueName: "n"))
    var tokenCount = 16

    @Option(help: ArgumentHelp("Threads that compute (default: one for each physical core).", valueName: "n"))
    var threads: Int?

    @Option(
        help: ArgumentHelp("Seed of the prompts of a model without expected tokens.", valueName: "n"))
    var seed: UInt64 = 0

    @Flag(help: "Print one JSON object: {\"columns\": […], \"rows\": […]}.")
    var json = false

    /// A column for each pair; without --backend for every one.
    func columns() throws -> [Variant] { try backends.variants(BackendList(BackendKind.allCases)) }

    mutating func validate() throws {
        _ = try columns()
        guard expected.isEmpty || expected.count == model.count else {
            throw ValidationError(
                "--expected: expected one file for each of \(model.count) models, got \(expected.count).")
        }
        try Counts.check(tokenCount, "--num-tokens")
        try Counts.checkThreads(threads)
    }

    func run() throws {
        let matrix = CorrectnessMatrix(
            columns: try columns(), precision: precision, tokenCount: tokenCount, threads: threads, seed: seed
        )
        var rows: [CorrectnessMatrix.Row] = []
        let bar = ProgressBar.onTerminal()
        for (index, path) in model.enumerated() {
            rows.append(
                try matrix.row(path, expected: index < expected.count ? expected[index] : nil, progress: bar))
        }
        bar?.finish()
        let output = ByteOutput.standardOutput
        try output.write(json ? matrix.json(rows).text() + "\n" : matrix.text(rows))
        try output.flush()
        let wrong = rows.flatMap(\.cells).filter { !$0.agrees }.count
        guard wrong == 0 else {
            throw ApusError(.mismatch, "\(wrong) cell(s) of the matrix do not give the expected tokens")
        }
    }
}
