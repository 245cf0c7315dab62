import Apus

/// Backends and caches side by side: a row for each, with its times.
struct SummaryTable {
    let summaries: [SummaryRun.Summary]

    /// A table of measurements with the same setting, at least one.
    init(_ summaries: [SummaryRun.Summary]) { self.summaries = summaries }

    /// What is compared, the Markdown table, and how its figures come about.
    var text: String {
        guard let first = summaries.first else { return "" }
        let setting = first.setting
        // The slowest way that computes the same in the same precision is the yardstick, if it was measured.
        let base = summaries.first { $0.backend == BackendKind.sdpa.rawValue && $0.cache == "none" }
        var table = MarkdownTable(
            [
                ("backend", false), ("cache", false), ("precision", false), ("TTFT ms", true),
                ("TPOT ms", true), ("tokens/s", true), ("total ms", true), ("speed-up", true),
            ].map { MarkdownTable.Column(title: $0.0, isNumber: $0.1) })
        for summary in summaries {
            let total = Statistics(summary.times.total).median
            let speedUp = base.map { Statistics($0.times.total).median / total }
            table.append([
                summary.backend, summary.cache, summary.precision.rawValue,
                Figures.decimal(summary.times.ttft * 1000, 1),
                Figures.decimal(summary.tpot.map { $0 * 1000 }, 2),
                Figures.short(summary.tpot.map { Double(setting.batch) / $0 }),
                Figures.decimal(total * 1000, 1), speedUp.map { Figures.short($0) + "×" },
            ])
        }
        return
            "batch \(setting.batch), \(setting.inputLength) prompt tokens, \(setting.outputLength) new tokens, "
            + "\(first.times.total.count) generations each\n\n\(table.text)\n"
            + "TTFT: request to first token. TPOT: (end - first token) / (tokens - 1). tokens/s = batch / TPOT.\n"
            + "Medians. Speed-up: total of sdpa without a cache over this total.\n"
    }
}
