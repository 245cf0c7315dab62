import Apus
import ArgumentParser

/// Flags that let a user watch the passes.
struct PassFlags: ParsableArguments {
    @Option(
        name: [.customLong("dump-passes"), .customLong("dump_passes")],
        help: ArgumentHelp(
            "Write the graph's text before the first pass and after each into this folder, which is made if need be.",
            valueName: "folder"))
    var dumpPasses: String?

    @Flag(
        name: [.customLong("check-passes"), .customLong("check_passes")],
        help: "Compare the numbers before and after each pass in the reference interpreter (slow).")
    var checkPasses = false

    /// A checker for these weights, if one is wanted.
    func checker(_ weights: any WeightSource) -> PassChecker? {
        checkPasses ? PassChecker(weights: weights) : nil
    }

    /// Tells on standard error what the checker found.
    func report(_ checker: PassChecker?) {
        guard let checker else { return }
        // Standard error may be closed; that is no reason to stop.
        for result in checker.results { try? ByteOutput.standardError.line("check \(result)") }
        let count = checker.results.count
        try? ByteOutput.standardError.line(
            "check: \(count) passes changed the graph, none changes its numbers")
        try? ByteOutput.standardError.flush()
    }
}
