import Apus

/// Where the time from the start of the process went, on standard error.
enum PhaseListing {
    /// A line for each part: when it began, how long it took, what it was.
    static func tell() {
        // Standard error may be closed; that is no reason to stop.
        try? ByteOutput.standardError.write(text(PhaseTimes.all, now: PhaseTimes.now))
        try? ByteOutput.standardError.flush()
    }

    static func text(_ phases: [PhaseLog.Phase], now: Double) -> String {
        var table = MarkdownTable([
            MarkdownTable.Column(title: "since the start", isNumber: false),
            MarkdownTable.Column(title: "begin ms", isNumber: true),
            MarkdownTable.Column(title: "ms", isNumber: true),
        ])
        for phase in phases {
            table.append([
                phase.name, Figures.decimal(phase.start * 1000, 1),
                Figures.decimal((phase.end - phase.start) * 1000, 1),
            ])
        }
        table.append(["now", Figures.decimal(now * 1000, 1), nil])
        return table.text
    }
}
