import Apus

/// One row for each attention layer: the kernel that computes it and, if it is not the fast one, why.
struct AttentionTable {
    private let reports: [AttentionReport]

    /// The table of what the passes reported.
    init(_ reports: [AttentionReport]) { self.reports = reports }

    /// The table, in Markdown.
    var text: String {
        guard !reports.isEmpty else { return "no attention layers were found\n" }
        var table = MarkdownTable([
            MarkdownTable.Column(title: "layer", isNumber: true),
            MarkdownTable.Column(title: "kernel", isNumber: false),
            MarkdownTable.Column(title: "reason", isNumber: false),
        ])
        for report in reports { table.append(["\(report.layer)", report.kernel, report.reason ?? ""]) }
        return table.text
    }
}
