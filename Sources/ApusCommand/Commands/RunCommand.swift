import Apus
import ArgumentParser

/// `apus run`: writes text from a prompt.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Write text from a prompt.",
        discussion: """
            The text streams to standard output as it is written; one line of figures follows. With --json a \
            single JSON object takes their place:

              {"prompt_ids", "token_ids", "text", "finish_reason", "stats": {…}}

            "text" is null for a folder without a tokenizer. Several prompts make a batch of sequences of \
            different lengths; the object then also holds "sequences", one for each, and its own members are \
            those of the first. Flags of run_llm.py work with hyphens or underscores.

              apus run --model FOLDER --prompt "In the beginning" --num-tokens 64
              apus run --model FOLDER --input-ids 1,2,3 --json
              apus run --model FOLDER --benchmark --isl 2048 --num-tokens 128
              apus run --model FOLDER --benchmark --backend all --isl 512 --num-tokens 64
            """)

    @OptionGroup(title: "Model options")
    var model: ModelFlags

    @OptionGroup(title: "Input options")
    var input: InputFlags

    @OptionGroup(title: "Sampling options")
    var sampling: SamplingFlags

    @OptionGroup(title: "Benchmark and comparison options")
    var comparison: ComparisonFlags

    @Option(
        name: [.customLong("dump-logits"), .customLong("dump_logits")],
        help: ArgumentHelp(
            "Write float32 [steps, V]: the logits that each token of the first sequence was chosen from.",
            discussion: "They are the model's own, before penalties, bias and temperature.",
            valueName: "file.npy"))
    var dumpLogits: String?

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    mutating func validate() throws {
        let pairs = try model.backends.variants()
        if comparison.benchmark {
            guard !comparison.runsPyTorch || pairs.count == 1 else {
                throw ValidationError("--enable-pytorch-run compares with one --backend and one --cache.")
            }
            guard input.prompt.isEmpty, input.inputIDs.isEmpty else {
                throw ValidationError("--benchmark makes up its own ids; leave out --prompt and --input-ids.")
            }
            guard dumpLogits == nil, input.stop.isEmpty, sampling.isPlainGreedy else {
                throw ValidationError("--benchmark is greedy; leave out sampling, --stop and --dump-logits.")
            }
        } else if input.prompt.isEmpty, input.inputIDs.isEmpty, !model.dryRun {
            throw ValidationError("Give --prompt, --input-ids or --benchmark.")
        }
        if !comparison.benchmark { _ = try model.backends.variant() }
        if comparison.runsPyTorch, !sampling.isPlainGreedy {
            throw ValidationError(
                "--enable-pytorch-run compares greedy tokens; leave out the sampling flags.")
        }
    }

    func run() throws {
        if model.dryRun {
            let loader = try ModelLoader(model, [try model.backends.variant()], requiresTokenizer: false)
            try ByteOutput.standardOutput.write(
                try loader.dryRun(try model.backends.variant()).text)
            return try ByteOutput.standardOutput.flush()
        }
        if comparison.benchmark { try SummaryRun(self).run() } else { try TextRun(self).run() }
    }
}
