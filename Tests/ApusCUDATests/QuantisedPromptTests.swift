import Apus
import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import Foundation
import Testing

@testable import ApusCUDA

/// What prompts of quantised checkpoints launch.
@Suite struct QuantisedPromptTests {
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fixtures/quantised")

    /// Where inputs are gathered first, they are FP32, while the gate reads half types: what few rows are multiplied by
    /// must write these, too.
    @Test(arguments: ["gptq-int4", "ct-int4-ordered"], [2, 5, 8, 9, 40])
    func gatesReadTheTypeThatProductsWrite(fixture: String, width: Int) throws {
        let model = try ModelSource(path: Self.fixtures.appending(path: fixture).path).importedModel()
        let lowered = try Compiler.lower(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(backend: .iattention, cache: CacheKind.none), plugins: .standard)
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        let plan = try Compiler.dryRun(lowered, plugins: .standard, backend: backend)
        let launches = try CUDABackend.outline(of: plan, .standard, .hopper, batch: 1, width: width).launches
        let gates = launches.indices.filter { launches[$0].contains("swiglu(") }
        #expect(!gates.isEmpty)
        for gate in gates {
            let type = try #require(launches[gate].firstMatch(of: /INPUT=(\w+)/)).output.1
            let product = try #require(launches[..<gate].last)
            let written = product.firstMatch(of: /OUT=(\w+)/)?.output.1 ?? "float"
            #expect(written == type, "\(product) before \(launches[gate])")
        }
    }
}
