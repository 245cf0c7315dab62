import Apus

extension PyTorchComparison {
    /// The object that `--json` holds under `pytorch`.
    func json(beside ours: GenerationResult) -> JSONValue {
        func run(_ run: Run) -> JSONValue {
            let tokens = run.tokens.first ?? []
            let tpot = run.times.tpot(outputLength: tokens.count)
            return .object([
                ("token_ids", .ids(tokens)),
                ("tokens_agree", .bool(Self.firstDifference(ours, tokens) == nil)),
                ("ttft_ms", .double(run.times.ttft * 1000)),
                ("total_ms", .double(Statistics(run.times.total).median * 1000)),
                ("decode_tokens_per_second", tpot.map { .double(1 / $0) } ?? .null),
            ])
        }
        return .object([
            ("torch", .string(torchVersion)), ("transformers", .string(transformersVersion)),
            ("with_cache", run(cached)), ("without_cache", run(uncached)),
        ])
    }

    /// The index of the first token that differs; nil if all agree.
    static func firstDifference(_ ours: GenerationResult, _ theirs: [Int32]) -> Int? {
        // PyTorch knows no stop strings: what it adds behind ours is no difference then.
        let theirs = ours.finishReason == .stopString ? Array(theirs.prefix(ours.tokens.count)) : theirs
        if ours.tokens == theirs { return nil }
        return zip(ours.tokens, theirs).enumerated().first { $1.0 != $1.1 }?.offset
            ?? min(ours.tokens.count, theirs.count)
    }

    /// A table with ours and both of PyTorch's runs, and what became of the tokens.
    func report(beside ours: GenerationResult, tokenizer: Tokenizer?) throws(ApusError) -> String {
        let stats = ours.stats
        var table = Self.table
        table.append([
            "apus", Figures.decimal(stats.timeToFirstToken * 1000, 1),
            Figures.short(stats.decodeTokensPerSecond),
            Figures.decimal((stats.timeToFirstToken + stats.decodeSeconds) * 1000, 1), "",
        ])
        var texts = ""
        for (name, run) in runs {
            let tokens = run.tokens.first ?? []
            let verdict: String
            if let index = Self.firstDifference(ours, tokens) {
                verdict = "differ from token \(index) on"
                if let tokenizer { texts += "\n\(name):\(try tokenizer.decode(tokens))\n" }
            } else {
                verdict = "the same"
            }
            let tpot = run.times.tpot(outputLength: tokens.count)
            table.append([
                name, Figures.decimal(run.times.ttft * 1000, 1), Figures.short(tpot.map { 1 / $0 }),
                Figures.decimal(Statistics(run.times.total).median * 1000, 1), verdict,
            ])
        }
        return "PyTorch \(torchVersion), transformers \(transformersVersion)\n" + table.text + texts
    }

    /// Both runs with their names.
    var runs: [(name: String, run: Run)] {
        [("PyTorch, KV cache", cached), ("PyTorch, no cache", uncached)]
    }

    private static var table: MarkdownTable {
        MarkdownTable([
            MarkdownTable.Column(title: "run", isNumber: false),
            MarkdownTable.Column(title: "TTFT ms", isNumber: true),
            MarkdownTable.Column(title: "tokens/s", isNumber: true),
            MarkdownTable.Column(title: "total ms", isNumber: true),
            MarkdownTable.Column(title: "tokens", isNumber: false),
        ])
    }
}
