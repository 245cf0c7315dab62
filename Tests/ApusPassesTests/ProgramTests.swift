import ApusFrontend
import ApusGraph
import ApusPasses
import ApusReference
import ApusSupport
import Foundation
import Testing

/// Exported programs through the whole pipeline: after each pass the numbers are those before it, every attention
/// ends in the plugin, and what a decoder is made of is fused.
@Suite struct ProgramTests {
    /// The archives under `Tests/Fixtures`, and those of the folder that APUS_PROGRAMS names.
    static let programs: [String] = {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures").path
        let more = ProcessInfo.processInfo.environment["APUS_PROGRAMS"].map { [$0] } ?? []
        return ([fixtures] + more).flatMap { folder in
            let files = (FileManager.default.enumerator(atPath: folder)?.allObjects as? [String]) ?? []
            // The program of all operators is no model.
            return files.filter { $0.hasSuffix(".pt2") && !$0.contains("operators/") }.sorted().map {
                "\(folder)/\($0)"
            }
        }
    }()

    private static let fused: Set<String> = [
        "parameter", "constant", "rope_table", "embedding", "rms_norm", "cat", "linear", "attention_plugin",
        "view", "add_rms_norm", "swiglu", "gather_last_token", "gelu", "add_layer_norm", "layer_norm",
        "transpose",
    ]

    /// Kinds of model of which nothing but fused ops is left.
    private static let families: Set<String> = ["gpt2", "llama", "qwen2", "qwen3", "mistral", "phi3"]

    @Test(arguments: programs)
    func everyPassKeepsTheNumbersOfAProgram(path: String) throws {
        let model = try Importer.importProgram(path: path)
        let weights = model.weights
        let manager = PassManager(weights: weights) { pass, before, after throws(ApusError) in
            // Half precision rounds each step, which FP32 does not.
            let tolerance = pass == "widen-activations" ? 3e-2 : 2e-5
            try SameNumbers.check(pass, before, after, weights, tolerance: tolerance)
        }
        let (lowered, reports) = try manager.run(model.graph, Pipeline.standard())
        let attention = reports.flatMap(\.attention)
        #expect(!attention.isEmpty)
        for report in attention where report.reason != nil { Issue.record("\(report)") }
        for remark in reports.flatMap(\.remarks) { Issue.record("\(remark)") }
        if Self.families.contains(model.info.modelType) {
            #expect(Set(lowered.nodes.map(\.op)).subtracting(Self.fused) == [])
        }
    }
}
