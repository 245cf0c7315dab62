import Apus

/// What `apus eval` found, as text and as JSON.
struct EvaluationReport {
    private let evaluation: Evaluation
    private let textPath: String
    private let byteCount: Int
    private let model: (path: String, model: LanguageModel)
    private let other: (path: String, model: LanguageModel)?

    /// Reports on one model, or on two.
    init(
        _ evaluation: Evaluation, text: String, byteCount: Int, model: (String, LanguageModel),
        other: (String, LanguageModel)?
    ) {
        self.evaluation = evaluation
        textPath = text
        self.byteCount = byteCount
        self.model = (model.0, model.1)
        self.other = other.map { ($0.0, $0.1) }
    }

    /// Lines for people.
    var text: String {
        let windows = evaluation.windowCount
        var lines = [
            "\(textPath): \(evaluation.tokenCount) tokens of \(byteCount) bytes, "
                + (windows == 1 ? "one window" : "\(windows) windows of \(evaluation.context)") + ", "
                + "\(evaluation.perplexity.scoredTokens) tokens scored", "",
        ]
        var table = MarkdownTable([
            MarkdownTable.Column(title: "model", isNumber: false),
            MarkdownTable.Column(title: "weights", isNumber: false),
            MarkdownTable.Column(title: "perplexity", isNumber: true),
            MarkdownTable.Column(title: "nats a token", isNumber: true),
            MarkdownTable.Column(title: "bits a byte", isNumber: true),
        ])
        table.append(row(model, evaluation.perplexity))
        if let other, let perplexity = evaluation.other { table.append(row(other, perplexity)) }
        lines.append(table.text)
        if let other = evaluation.other, let divergence = evaluation.divergence {
            let change = (other.value / evaluation.perplexity.value - 1) * 100
            lines += [
                "difference           \(Figures.decimal(other.value - evaluation.perplexity.value, 4)) "
                    + "(\(Figures.decimal(change, 2)) %), \(Figures.decimal(divergence.natsDifference, 5)) ± "
                    + "\(Figures.decimal(divergence.natsDifferenceError, 5)) nats a token",
                "KL divergence        mean \(Figures.decimal(divergence.mean, 5)), median "
                    + "\(Figures.decimal(divergence.median, 5)), 99th percentile "
                    + "\(Figures.decimal(divergence.percentile99, 5)), max \(Figures.decimal(divergence.maximum, 5)) nats",
                "equal top-1 tokens   \(Figures.decimal(divergence.sameTopShare * 100, 2)) %", "",
            ]
        }
        return lines.joined(separator: "\n")
    }

    private func row(_ model: (path: String, model: LanguageModel), _ perplexity: Perplexity) -> [String?] {
        [
            model.path, model.model.weightPrecision,
            "\(Figures.decimal(perplexity.value, 4)) ± \(Figures.decimal(perplexity.valueError, 4))",
            "\(Figures.decimal(perplexity.natsPerToken, 5)) ± \(Figures.decimal(perplexity.standardError, 5))",
            Figures.decimal(perplexity.bitsPerByte, 4),
        ]
    }

    /// The object of `--json`.
    var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("text", .string(textPath)), ("bytes", .int(byteCount)), ("tokens", .int(evaluation.tokenCount)),
            ("windows", .int(evaluation.windowCount)), ("context", .int(evaluation.context)),
            ("model", Self.members(model, evaluation.perplexity)),
        ]
        if let other, let perplexity = evaluation.other, let divergence = evaluation.divergence {
            members += [
                ("other", Self.members(other, perplexity)),
                (
                    "difference",
                    .object([
                        ("perplexity", .double(perplexity.value - evaluation.perplexity.value)),
                        ("nats_per_token", .double(divergence.natsDifference)),
                        ("standard_error", .double(divergence.natsDifferenceError)),
                    ])
                ),
                (
                    "kl_divergence",
                    .object([
                        ("mean", .double(divergence.mean)), ("median", .double(divergence.median)),
                        ("percentile_99", .double(divergence.percentile99)),
                        ("max", .double(divergence.maximum)),
                    ])
                ), ("same_top_share", .double(divergence.sameTopShare)),
            ]
        }
        return .object(members)
    }

    private static func members(
        _ model: (path: String, model: LanguageModel), _ perplexity: Perplexity
    ) -> JSONValue {
        .object([
            ("path", .string(model.path)), ("precision", .string(model.model.weightPrecision)),
            ("perplexity", .double(perplexity.value)), ("scored_tokens", .int(perplexity.scoredTokens)),
            ("nats_per_token", .double(perplexity.natsPerToken)),
            ("standard_error", .double(perplexity.standardError)),
            ("bits_per_byte", perplexity.bitsPerByte.map { .double($0) } ?? .null),
        ])
    }
}
