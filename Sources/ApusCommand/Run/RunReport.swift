import Apus

/// What `apus run` came to: the sequences, and the times and sizes around them.
struct RunReport {
    /// One sequence.
    struct Sequence {
        var prompt: [Int32]
        var result: GenerationResult
    }

    var sequences: [Sequence]
    var precision: Precision
    var variant: Variant
    var threads: Int
    var loadSeconds: Double
    var buildSeconds: Double
    var peakMemoryBytes: Int?
    /// What `--enable-pytorch-run` found; nil without the flag.
    var pytorch: PyTorchComparison.Outcome?

    /// The object of `--json`.
    var json: JSONValue {
        guard let first = sequences.first else { return .object([]) }
        var members = self.members(of: first)
        if sequences.count > 1 {
            members.append(("sequences", .array(sequences.map { .object(self.members(of: $0)) })))
        }
        switch pytorch {
        case .compared(let comparison)?: members.append(("pytorch", comparison.json(beside: first.result)))
        case .unavailable(let reason)?:
            members.append(("pytorch", .object([("unavailable", .string(reason))])))
        case nil: break
        }
        return .object(members)
    }

    private func members(of sequence: Sequence) -> [(String, JSONValue)] {
        let result = sequence.result
        return [
            ("prompt_ids", .ids(sequence.prompt)), ("token_ids", .ids(result.tokens)),
            ("text", result.text.map { .string($0) } ?? .null),
            ("finish_reason", .string(result.finishReason.description)), ("stats", stats(result.stats)),
        ]
    }

    private func stats(_ stats: GenerationStats) -> JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        return .object([
            ("prompt_tokens", .int(stats.promptTokens)), ("generated_tokens", .int(stats.generatedTokens)),
            ("ttft_ms", number(stats.timeToFirstToken * 1000)),
            ("tpot_ms", number(stats.timePerOutputToken.map { $0 * 1000 })),
            ("total_ms", number((stats.timeToFirstToken + stats.decodeSeconds) * 1000)),
            ("prefill_tokens_per_second", number(stats.prefillTokensPerSecond)),
            ("decode_tokens_per_second", number(stats.decodeTokensPerSecond)),
            ("peak_memory_bytes", peakMemoryBytes.map { .int($0) } ?? .null),
            ("load_seconds", number(loadSeconds)), ("build_seconds", number(buildSeconds)),
            ("precision", .string(precision.rawValue)), ("backend", .string(variant.backend.rawValue)),
            ("cache", .string(variant.cacheName)), ("batch_size", .int(sequences.count)),
            ("threads", .int(threads)),
        ])
    }

    /// The line of figures under the text.
    var figures: String {
        let stats = sequences.map(\.result.stats)
        let prompt = stats.reduce(0) { $0 + $1.promptTokens }
        let generated = stats.reduce(0) { $0 + $1.generatedTokens }
        let first = stats.reduce(0) { max($0, $1.timeToFirstToken) }
        // Sequences of a batch run side by side: their tokens share the time of the longest.
        let decode = stats.reduce(0) { max($0, $1.decodeSeconds) }
        let later = generated - stats.count
        let rate = later > 0 && decode > 0 ? ", \(Figures.short(Double(later) / decode)) tokens/s" : ""
        let batch = stats.count > 1 ? "\(stats.count) sequences, " : ""
        return "[\(batch)\(prompt) prompt tokens, TTFT \(Figures.duration(seconds: first)), "
            + "\(generated) new tokens\(rate), peak memory \(Figures.bytes(peakMemoryBytes))]"
    }
}
