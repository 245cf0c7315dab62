import ArgumentParser

/// Flags of `apus run` that time it or set it beside PyTorch.
struct ComparisonFlags: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Time whole generations of random ids; prints a summary and no text.",
            discussion: "With several backends or caches it prints a table, a row for each pair."))
    var benchmark = false

    @Option(help: ArgumentHelp("Prompt length of the benchmark.", valueName: "n"))
    var isl = 2048

    @Option(help: ArgumentHelp("Timed generations of the benchmark.", valueName: "n"))
    var iterations = 5

    @Flag(
        name: [.customLong("enable-pytorch-run"), .customLong("enable_pytorch_run")],
        help: ArgumentHelp(
            "Run the same ids in PyTorch, with and without a KV cache, and compare.",
            discussion: """
                Needs a Python with torch and transformers: $APUS_PYTHON, python3 or python. Of a batch of prompts \
                the first is compared; the benchmark compares the times of the whole batch.
                """))
    var runsPyTorch = false

    mutating func validate() throws {
        try Counts.check(isl, "--isl")
        try Counts.check(iterations, "--iterations")
    }
}
