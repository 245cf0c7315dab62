import Apus
import ArgumentParser

/// Flags that decide how the next token is chosen.
struct SamplingFlags: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Sample with the settings of the model's generation_config.json.",
            discussion: """
                Without it, and without --temperature, --top-k, --top-p or --min-p, the most likely token is \
                taken each time. Flags given beside it replace single settings of the file.
                """))
    var sample = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sample, with logits divided by <t>; 0 is greedy.", valueName: "t"))
    var temperature: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sample among the <k> most likely tokens; 0 is all.", valueName: "k"))
    var topK: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sample among the fewest tokens whose probabilities reach <p>; 1 is all.", valueName: "p"))
    var topP: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sample among tokens at least <p> times as likely as the likeliest; 0 is all.", valueName: "p"))
    var minP: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Divide positive and multiply negative logits of tokens that occurred by <r>; 1 is off.",
            valueName: "r"))
    var repetitionPenalty: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Subtract <x> from the logits of tokens generated before.", valueName: "x"))
    var presencePenalty: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Subtract <x> from a token's logit for each time it was generated.", valueName: "x"))
    var frequencyPenalty: Float?

    @Option(
        help: ArgumentHelp(
            "Add a value to the logit of a token, as in 42=-100; may be repeated.",
            valueName: "id=value,..."))
    var logitBias: [LogitBias] = []

    @Option(help: ArgumentHelp("Seed of the random choices: the same seed, the same text.", valueName: "n"))
    var seed: UInt64 = 0

    /// Whether tokens are drawn rather than taken by the highest logit.
    var isSampling: Bool {
        if let temperature { return temperature > 0 }
        return sample || topK != nil || topP != nil || minP != nil
    }

    /// Whether any flag changes which token is chosen.
    var isPlainGreedy: Bool {
        !isSampling && (repetitionPenalty ?? 1) == 1 && (presencePenalty ?? 0) == 0
            && (frequencyPenalty ?? 0) == 0 && logitBias.isEmpty
    }

    mutating func validate() throws {
        func check(_ isValid: Bool, _ flag: String, _ expected: String) throws {
            if !isValid { throw ValidationError("\(flag): expected \(expected).") }
        }
        try check(
            temperature.map { $0 >= 0 && $0.isFinite } ?? true, "--temperature", "a number of at least 0")
        try check(topK.map { $0 >= 0 } ?? true, "--top-k", "a count of at least 0")
        try check(topP.map { $0 > 0 && $0 <= 1 } ?? true, "--top-p", "a number above 0 and at most 1")
        try check(minP.map { $0 >= 0 && $0 <= 1 } ?? true, "--min-p", "a number from 0 to 1")
        try check(
            repetitionPenalty.map { $0 > 0 && $0.isFinite } ?? true, "--repetition-penalty",
            "a number above 0")
        try check(presencePenalty?.isFinite ?? true, "--presence-penalty", "a finite number")
        try check(frequencyPenalty?.isFinite ?? true, "--frequency-penalty", "a finite number")
    }
}

/// The value of one `--logit-bias`: `ID=VALUE` pairs with commas between them.
struct LogitBias: ExpressibleByArgument, Equatable {
    /// Token and what is added to its logit, in the order given.
    let pairs: [Pair]

    /// One token's bias.
    struct Pair: Equatable {
        let token: Int32
        let value: Float
    }

    init?(argument: String) {
        var pairs: [Pair] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let token = Int32(sides[0].trimmed), token >= 0,
                let value = Float(sides[1].trimmed), !value.isNaN
            else { return nil }
            pairs.append(Pair(token: token, value: value))
        }
        self.pairs = pairs
    }
}
