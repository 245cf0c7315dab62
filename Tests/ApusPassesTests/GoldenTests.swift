import ApusGraph
import ApusPasses
import ApusReference
import ApusSupport
import Foundation
import Testing

/// Every file of `Golden`: the pass turns one text into the other, and both compute the same.
@Suite struct GoldenTests {
    @Test(arguments: GoldenFile.paths(invalid: false))
    func passTurnsBeforeIntoAfterAndKeepsTheNumbers(path: String) throws {
        let file = try GoldenFile(path)
        let before = try Graph(parsing: file.before, source: path)
        #expect(try Graph(parsing: before.text(), source: path).text() == before.text())
        // Most cases hold without the values of weights; what a pass reads of them is seeded too.
        let manager = PassManager(weights: file.header["weights"] == "seeded" ? SeededWeights(before) : nil)
        let after = try manager.run(before, file.passes).graph
        let text = after.text() == before.text() ? nil : after.text()

        if ProcessInfo.processInfo.environment["RECORD"] == "1" {
            try file.record(text)
            Issue.record("recorded \(path)")
        } else {
            #expect(text ?? "unchanged" == file.after ?? "unchanged")
        }
        let again = try manager.run(after, file.passes).graph
        #expect(again.text() == after.text(), "running the pass again changes the graph")

        try compareNumbers(file, before, after)
    }

    private func compareNumbers(_ file: GoldenFile, _ before: Graph, _ after: Graph) throws {
        if file.header["compare"] == "logits" {
            // The signature differs; the first output must not.
            let inputs = try Seeded.inputs(before).merging(Seeded.inputs(after)) { old, _ in old }
            let outputs = try [before, after].map { graph in
                let own = inputs.filter { graph.input(named: $0.key) != nil }
                return try Interpreter(graph: graph, weights: SeededWeights(graph)).run(own)[0]
            }
            #expect(difference(outputs[0], outputs[1]) <= file.tolerance)
            return
        }
        let names = { (graph: Graph) in graph.inputs.map { graph.name(of: $0) ?? "" } }
        if names(before) != names(after) {
            try CachedComparison(before, after, tolerance: file.tolerance).run(
                isDecoding: file.header["compare"] != "prefill")
            return
        }
        let weights = SeededWeights(before)
        let inputs = try Seeded.inputs(before)
        let expected = try Interpreter(graph: before, weights: weights).run(inputs)
        // Only the element type of an input may have changed, and all seeded numbers fit every type.
        let converted = try Seeded.inputs(after)
        let got = try Interpreter(graph: after, weights: weights).run(converted)
        #expect(expected.count == got.count)
        for (index, pair) in zip(expected, got).enumerated() {
            #expect(difference(pair.0, pair.1) <= file.tolerance, "output \(index)")
        }
    }

    @Test(arguments: GoldenFile.paths(invalid: true))
    func verifierNamesWhatIsWrong(path: String) throws {
        let text = try String(contentsOf: GoldenFile.folder.appendingPathComponent(path), encoding: .utf8)
        let expected = text.split(separator: "\n").compactMap { line in
            line.hasPrefix("// error: ") ? String(line.dropFirst("// error: ".count)) : nil
        }
        let found = try Graph(parsing: text, source: path).diagnostics().map(\.description)
        if ProcessInfo.processInfo.environment["RECORD"] == "1" {
            let graph = text.split(separator: "\n").filter { !$0.hasPrefix("// error: ") }
            let lines = found.map { "// error: " + $0 } + graph.map(String.init)
            try (lines.joined(separator: "\n") + "\n").write(
                to: GoldenFile.folder.appendingPathComponent(path), atomically: true, encoding: .utf8)
            Issue.record("recorded \(path)")
            return
        }
        #expect(!expected.isEmpty)
        #expect(found == expected)
    }

    @Test func everyPassHasPositiveAndNegativeCases() throws {
        let files = try GoldenFile.paths(invalid: false).map(GoldenFile.init)
        for name in Pipeline.all.keys.sorted() {
            let own = files.filter { $0.header["pass"] == name }
            #expect(own.contains { $0.after != nil }, "\(name) has no case that it changes")
            #expect(own.contains { $0.after == nil }, "\(name) has no case that it leaves alone")
        }
    }
}
