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
            return files.filter { $0.hasSuffix(".pt2") }.sorted().map { "\(folder)/\($0)" }
        }
    }()

    private static let fused: Set<String> = [
        "parameter", "constant", "rope_table", "embedding", "rms_norm", "cat", "linear", "attention_plugin",
        "view", "add_rms_norm", "swiglu", "gather_last_token", "gelu", "add_layer_norm", "layer_norm",
        "transpose",
    ]

    @Test(arguments: programs)
    func everyPassKeepsTheNumbersOfAProgram(path: String) throws {
        let model = try Importer.importProgram(path: path)
        let weights = model.weights
        let manager = PassManager(weights: weights) { pass, before, after throws(ApusError) in
            guard let worst = try Self.worstDifference(before, after, weights) else { return }
            guard worst <= 2e-5 else {
                throw ApusError(.mismatch, "\(pass) changes an output by \(worst) of the largest value")
            }
        }
        let (lowered, reports) = try manager.run(model.graph, Pipeline.standard())
        let attention = reports.flatMap(\.attention)
        #expect(!attention.isEmpty)
        for report in attention where report.reason != nil { Issue.record("\(report)") }
        for remark in reports.flatMap(\.remarks) { Issue.record("\(remark)") }
        #expect(Set(lowered.nodes.map(\.op)).subtracting(Self.fused) == [])
        if ProcessInfo.processInfo.environment["APUS_PROGRAMS"] != nil {
            for report in attention { print("\(path.split(separator: "/").last ?? ""): \(report)") }
        }
    }

    /// The largest difference of the outputs that both graphs have, if a pass kept the signature so far that the
    /// same inputs can be given.
    private static func worstDifference(
        _ before: Graph, _ after: Graph, _ weights: any WeightSource
    ) throws(ApusError) -> Double? {
        let names = { (graph: Graph) in graph.inputs.map { graph.name(of: $0) ?? "" } }
        let isLifted = before.outputs.count > after.outputs.count
        guard names(before) == names(after) || isLifted else { return nil }
        do {
            let sizes = Seeded.sizes(before)
            let inputs = try Seeded.inputs(before, sizes).merging(Seeded.inputs(after, sizes)) { old, _ in old
            }
            let outputs = try [before, after].map { graph in
                let own = inputs.filter { graph.input(named: $0.key) != nil }
                return try Interpreter(graph: graph, weights: weights).run(own)
            }
            return zip(outputs[0], outputs[1]).map(difference).prefix(isLifted ? 1 : .max).max()
        } catch let error as ApusError {
            throw error
        } catch {
            throw ApusError(.internal, "\(error)")
        }
    }
}
