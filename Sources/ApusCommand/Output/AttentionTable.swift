import Apus

/// One row for each attention layer: kernel, mask, and why.
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
            MarkdownTable.Column(title: "mask", isNumber: false),
            MarkdownTable.Column(title: "visible because", isNumber: false),
            MarkdownTable.Column(title: "not the plugin because", isNumber: false),
        ])
        for report in reports {
            table.append([
                "\(report.layer)", report.kernel, "\(report.maskClass)", report.maskReason ?? "",
                report.reason ?? "",
            ])
        }
        return table.text
    }
}
