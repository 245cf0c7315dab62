import Apus
import ArgumentParser

/// `apus eval`: perplexity over a text, and what another model changes.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measure how well a model foretells a text, and compare two models.",
        discussion: """
            Prints the perplexity of the model over a text file: tokens scored, nats a token with its standard error, \
            bits a byte. With --compare both models read the same tokens; the difference, the Kullback-Leibler divergence \
            of their next-token distributions and the share of equal likeliest tokens follow. All other flags hold for \
            both models.

            The text is read in windows of --context tokens (default: 2048, or the model's positions if fewer), each \
            --stride tokens after the one before (default: the context, so that windows do not overlap and the first \
            token of each is not scored). With a smaller stride a window scores only the tokens that none before it \
            scored, each with at least context - stride tokens to go by.

              apus eval --model FOLDER --text text.txt
              apus eval --model FOLDER --text text.txt --context 1024 --stride 512 --json
              apus eval --model FOLDER --text text.txt --compare QUANTISED
            """)

    @OptionGroup(title: "Model options")
    var model: ModelFlags

    @Option(help: ArgumentHelp("Text to read, UTF-8.", valueName: "file"))
    var text: String

    @Option(help: ArgumentHelp("Folder of a second model, to be compared with the first.", valueName: "path"))
    var compare: String?

    @Option(
        help: ArgumentHelp(
            "Tokens from the start of one window to the next (default: the context).", valueName: "n"))
    var stride: Int?

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    mutating func validate() throws {
        try Counts.check(stride, "--stride")
        try Counts.check(model.contextLength, "--context", least: 2)
        _ = try model.backends.variant()
    }

    func run() throws {
        if model.dryRun {
            let loader = try loader(model)
            try ByteOutput.standardOutput.write(
                try loader.dryRun(try model.backends.variant()).text)
            return try ByteOutput.standardOutput.flush()
        }
        let bytes = try WholeFile.bytes(path: text)
        let first = try load(model)
        var second: LanguageModel?
        if let compare {
            var flags = model
            flags.model = compare
            second = try load(flags)
        }
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        let evaluation = try ApusError.within(text) { () throws(ApusError) in
            try first.evaluate(
                utf8: bytes, comparedWith: second,
                options: EvaluationOptions(context: model.contextLength, stride: stride), progress: bar)
        }
        bar?.finish()
        let report = EvaluationReport(
            evaluation, text: text, byteCount: bytes.count, model: (model.model, first),
            other: compare.flatMap { path in second.map { (path, $0) } })
        try ByteOutput.standardOutput.write(json ? report.json.text() + "\n" : report.text)
        try ByteOutput.standardOutput.flush()
    }

    private func loader(_ flags: ModelFlags) throws(ApusError) -> ModelLoader {
        do {
            return try ModelLoader(
                flags, [try flags.backends.variant()], requiresTokenizer: false, allLogits: true)
        } catch let error as ApusError {
            throw error
        } catch {
            throw ApusError(.invalidInput, "\(error)")
        }
    }

    private func load(_ flags: ModelFlags) throws(ApusError) -> LanguageModel {
        let loader = try loader(flags)
        guard !EngineFile.isEngine(path: flags.model) else {
            throw ApusError(
                .unsupported,
                "\(flags.model): an engine computes the logits of the last token only; give the model's folder"
            )
        }
        guard loader.tokenizer != nil else {
            throw ApusError(
                .notFound,
                "--text: \(flags.model) has no tokenizer.json to make tokens with; name a folder that has one with "
                    + "--tokenizer")
        }
        let variant: Variant
        do { variant = try flags.backends.variant() } catch { throw ApusError(.invalidInput, "\(error)") }
        return try loader.load(variant, batchSize: 1, contextLength: flags.contextLength)
    }
}
