import Apus
import ArgumentParser

/// Flags of `apus run` that say what to go on from and for how long.
struct InputFlags: ParsableArguments {
    /// Tokens to write when nobody says how many.
    static let defaultTokenCount = 128

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Text to go on from; repeat it to make a batch.", valueName: "text"))
    var prompt: [String] = []

    @Option(
        name: [.customLong("input-ids"), .customLong("input_ids")],
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Token ids in place of a prompt: 1,2,3 or @file.json with an array of ids, or of such arrays.",
            valueName: "ids"))
    var inputIDs: [String] = []

    @Option(
        name: [.customLong("batch-size"), .customLong("batch_size")],
        help: ArgumentHelp(
            "Sequences; a single prompt is used for all of them (default: one for each prompt).",
            valueName: "n"))
    var batchSize: Int?

    @Option(
        name: [.customLong("num-tokens"), .customLong("num_tokens")],
        help: ArgumentHelp(
            "Most tokens to write (default: \(defaultTokenCount), or as many as the model has positions for).",
            valueName: "n"))
    var tokenCount: Int?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Text that ends the writing and is left out; may be repeated.", valueName: "text"))
    var stop: [String] = []

    @Flag(
        name: [.customLong("ignore-eos"), .customLong("ignore_eos")],
        help: "Go on after an end-of-text token.")
    var ignoresEndTokens = false

    mutating func validate() throws {
        try Counts.check(tokenCount, "--num-tokens")
        try Counts.check(batchSize, "--batch-size")
        if prompt.contains("") { throw ValidationError("--prompt: expected some text, got an empty one.") }
        if inputIDs.contains("") { throw ValidationError("--input-ids: expected at least one id, got none.") }
        if stop.contains("") { throw ValidationError("--stop: expected some text, got an empty one.") }
        if !prompt.isEmpty, !inputIDs.isEmpty {
            throw ValidationError("Give either --prompt or --input-ids, not both.")
        }
    }

    /// The ids of `--input-ids`, one array for each sequence; nil if prompts are given instead.
    /// - Throws: `.invalidInput` that names the flag or file; for a file also `.notFound`, `.io`.
    func sequences() throws(ApusError) -> [[Int32]]? {
        guard !inputIDs.isEmpty else { return nil }
        var sequences: [[Int32]] = []
        for text in inputIDs { sequences += try TokenList.sequences(text, flag: "--input-ids") }
        if let index = sequences.firstIndex(where: \.isEmpty) {
            throw ApusError(.invalidInput, "--input-ids: sequence \(index) is empty; give at least one id")
        }
        return sequences
    }

    /// One element for each sequence of the batch.
    /// - Throws: `.invalidInput` if `--batch-size` does not fit the number of prompts.
    func batch<Prompt>(_ prompts: [Prompt]) throws(ApusError) -> [Prompt] {
        guard let batchSize, prompts.count != batchSize else { return prompts }
        guard prompts.count == 1 else {
            throw ApusError(
                .invalidInput,
                "--batch-size: expected \(prompts.count), the number of prompts, got \(batchSize); leave it out, or "
                    + "give one prompt")
        }
        return (0..<batchSize).map { _ in prompts[0] }
    }
}
