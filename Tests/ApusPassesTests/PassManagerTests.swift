import ApusGraph
import ApusPasses
import ApusSupport
import Foundation
import Synchronization
import Testing

@Suite struct PassManagerTests {
    private static let text = """
        graph @f(%x: f32[4]) {
          %0 = neg(%x) : f32[4]
          %1 = neg(%0) : f32[4]
          %y = silu(%1) : f32[4]
          return %y
        }

        """

    /// A pass that leaves a graph in which a value is used before it is defined.
    private struct Breaker: Pass {
        let name = "break"
        func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) { graph.nodes.reverse() }
    }

    private func folder() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }

    @Test func reportsTellWhatEachPassDid() throws {
        let passes = ["fold-identities", "dead-code"].compactMap { Pipeline.all[$0] }
        let (graph, reports) = try PassManager().run(Graph(parsing: Self.text), passes)
        #expect(graph.nodes.map(\.op) == ["silu"])
        #expect(reports.map(\.pass) == ["fold-identities", "dead-code"])
        #expect(reports.map(\.hasChanged) == [true, false])
        #expect(reports.map(\.nodeCountBefore) == [3, 1])
        #expect(reports.map(\.nodeCountAfter) == [1, 1])
    }

    @Test func aGraphThatDoesNotVerifyIsBlamedOnThePassAndItsInputIsKept() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let error = #expect(throws: ApusError.self) {
            try PassManager(dumpDirectory: folder.path).run(Graph(parsing: Self.text), [Breaker()])
        }
        let path = folder.appendingPathComponent("apus-failed-break.ir").path
        #expect(error?.context.first == "pass break (its input is in \(path))")
        #expect(error?.message.contains("graph.undefined-value") == true)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "// pass: break\n" + Self.text)
        #expect(try Graph(parsing: String(contentsOfFile: path, encoding: .utf8)).text() == Self.text)
    }

    @Test func aGraphThatDoesNotVerifyAtFirstIsBlamedOnNoPass() throws {
        let text = Self.text.replacing("silu", with: "swish")
        let error = #expect(throws: ApusError.self) { try PassManager().run(Graph(parsing: text), []) }
        #expect(error?.context == ["before the first pass"])
    }

    @Test func dumpsHoldTheGraphBeforeAndAfterEachPass() throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let pass = try #require(Pipeline.all["fold-identities"])
        _ = try PassManager(dumpDirectory: folder.path).run(Graph(parsing: Self.text), [pass])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == [
                "00-input.ir", "01-fold-identities.ir",
            ])
        let first = folder.appendingPathComponent("00-input.ir")
        #expect(try String(contentsOf: first, encoding: .utf8) == Self.text)
    }

    @Test func aFolderThatCannotBeWrittenIsAnErrorThatNamesTheFile() throws {
        let error = #expect(throws: ApusError.self) {
            try PassManager(dumpDirectory: "/nowhere/at/all").run(Graph(parsing: Self.text), [])
        }
        #expect(error?.code == .io)
        #expect(error?.message.hasPrefix("/nowhere/at/all/00-input.ir: cannot write") == true)
    }

    @Test func theCheckSeesTheGraphsAroundEachPassThatChangesSomething() throws {
        let seen = Mutex<[String]>([])
        let manager = PassManager { name, before, after throws(ApusError) in
            seen.withLock { $0.append("\(name) \(before.nodes.count) \(after.nodes.count)") }
            if after.nodes.count == 1 { throw ApusError(.mismatch, "numbers differ") }
        }
        let passes = ["dead-code", "fold-identities"].compactMap { Pipeline.all[$0] }
        let error = #expect(throws: ApusError.self) { try manager.run(Graph(parsing: Self.text), passes) }
        #expect(seen.withLock { $0 } == ["fold-identities 3 1"])
        #expect(error?.message == "numbers differ")
        #expect(error?.context.first?.hasPrefix("pass fold-identities") == true)
    }
}
