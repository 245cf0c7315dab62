import Apus

/// What would be built, without reading a weight: operators and kernels with their counts, passes, attention, memory.
struct DryRunReport {
    private let lowered: Compiler.Lowered
    private let info: ModelInfo
    private let sourceNodes: Int
    private let backend: any Backend

    /// Lowers the model of an inspection.
    init(_ inspection: Inspection) throws(ApusError) {
        guard let info = inspection.info else {
            throw ApusError(.invalidInput, "--dry-run is of a model: give --model or --config")
        }
        self.init(
            try inspection.lowered(), info: info, sourceNodes: inspection.source.nodes.count,
            backend: try inspection.command.backends.planningBackend())
    }

    /// Describes a lowered model.
    init(_ lowered: Compiler.Lowered, info: ModelInfo, sourceNodes: Int, backend: any Backend) {
        self.backend = backend
        self.lowered = lowered
        self.info = info
        self.sourceNodes = sourceNodes
    }

    /// The report.
    var text: String {
        get throws(ApusError) {
            let plan = try Compiler.dryRun(lowered, backend: backend)
            return [
                "dry run: nothing is built\n\n",
                PlanListing(plan, info: info, precision: lowered.precision).header,
                "\n", passes, "\n", kernels(plan), "\n",
                AttentionTable(lowered.passes.flatMap(\.attention)).text,
            ].joined()
        }
    }

    private var passes: String {
        var table = MarkdownTable([
            MarkdownTable.Column(title: "pass", isNumber: false),
            MarkdownTable.Column(title: "nodes before", isNumber: true),
            MarkdownTable.Column(title: "after", isNumber: true),
            MarkdownTable.Column(title: "time", isNumber: true),
        ])
        for pass in lowered.passes {
            table.append([
                pass.pass, "\(pass.nodeCountBefore)", pass.hasChanged ? "\(pass.nodeCountAfter)" : "–",
                Figures.duration(seconds: pass.duration / .seconds(1)),
            ])
        }
        return "\(sourceNodes) operators imported, \(lowered.graph.nodes.count) after all passes\n\n"
            + table.text
    }

    private func kernels(_ plan: Plan) -> String {
        var counts: [String: (kernel: String, count: Int)] = [:]
        for step in plan.steps { counts[step.op, default: (step.kernel, 0)].count += 1 }
        var table = MarkdownTable([
            MarkdownTable.Column(title: "operator", isNumber: false),
            MarkdownTable.Column(title: "kernel", isNumber: false),
            MarkdownTable.Column(title: "steps", isNumber: true),
        ])
        for (op, entry) in counts.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) }) {
            table.append([op, entry.kernel, "\(entry.count)"])
        }
        return "every operator has a kernel:\n\n" + table.text
    }
}
