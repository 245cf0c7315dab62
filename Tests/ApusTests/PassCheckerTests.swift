import Apus
import Testing

@Suite struct PassCheckerTests {
    @Test(arguments: ["gpt2", "llama3-tied", "qwen2", "qwen3-fp16-bias"])
    func thePassesOfEveryFamilyKeepTheNumbers(fixture: String) throws {
        let model = try Importer.importCheckpoint(folder: FixtureFolder(fixture).path)
        let checker = PassChecker(weights: model.weights)
        let lowered = try Compiler.lower(
            model.graph, info: model.info, options: CompileOptions(check: checker.check))
        let changed = lowered.passes.filter(\.hasChanged).map(\.pass)
        #expect(checker.results.map(\.pass) == changed)
        #expect(checker.results.allSatisfy { $0.difference != nil })
    }

    /// Half precision, a cache that grows, a static one, and positions that the program counts itself.
    @Test(arguments: [
        "llama/core-eager-bfloat16-tf5.23.0", "llama/raw-sdpa-dynamic-tf4.57.6",
        "qwen3/core-sdpa-static-tf5.23.0",
        "gpt2/raw-sdpa-ids-tf5.23.0",
    ])
    func thePassesKeepTheNumbersOfPrograms(program: String) throws {
        let path = try FixtureFolder("gpt2").path + "/../programs/\(program).pt2"
        let model = try Importer.importProgram(path: path)
        let checker = PassChecker(weights: model.weights)
        let lowered = try Compiler.lower(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(check: checker.check))
        #expect(checker.results.count == lowered.passes.filter(\.hasChanged).count)
        #expect(checker.results.allSatisfy { $0.difference != nil })
    }

    /// A pass that is wrong is found, whatever the signature of the graph.
    private struct Doubling: Pass {
        let name = "double-eps"
        func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
            for index in graph.nodes.indices {
                guard case .float(let eps)? = graph.nodes[index].attributes["eps"] else { continue }
                graph.nodes[index].attributes["eps"] = .float(eps * 1000)
            }
        }
    }

    @Test func aPassThatChangesNumbersFails() throws {
        let model = try Importer.importCheckpoint(folder: FixtureFolder("llama3-tied").path)
        let checker = PassChecker(weights: model.weights)
        let manager = PassManager(check: checker.check)
        let passes = Pipeline.standard() + [Doubling()]
        let error = #expect(throws: ApusError.self) { try manager.run(model.graph, passes) }
        #expect(error.map { "\($0)" }?.contains("double-eps") == true)
        #expect((checker.results.last?.difference ?? 0) > 1e-5)
    }

    @Test func aGraphThatIsNoLanguageModelIsComparedByItsOutputs() throws {
        let graph = try Graph(
            parsing: """
                graph @f(%x: f32[B, 8]) where B in 1...4 {
                  %w = parameter() {name = "w"} : f32[4, 8]
                  %one = constant() {value = dense<[1.0]> : f32[]} : f32[]
                  %0 = mul(%x, %one) : f32[B, 8]
                  %1 = linear(%0, %w) : f32[B, 4]
                  return %1
                }
                """)
        let checker = PassChecker(weights: SeededWeights(graph))
        let passes = ["fold-identities", "dead-code"].compactMap { Pipeline.all[$0] }
        let (after, _) = try PassManager(check: checker.check).run(graph, passes)
        #expect(after.nodes.map(\.op) == ["parameter", "linear"])
        #expect(checker.results.map(\.difference) == [0])
    }
}
