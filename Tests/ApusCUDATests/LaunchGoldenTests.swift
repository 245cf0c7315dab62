import Apus
import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusSupport
import Foundation
import Testing

@testable import ApusCUDA

/// What passes of small models launch on the reference GPU, against the text recorded in `Golden`; `RECORD=1` records it
/// anew and fails.
@Suite struct LaunchGoldenTests {
    /// A model and how it is compiled.
    struct Case: CustomTestStringConvertible {
        let name: String
        var precision = ElementType.f16
        var backend = BackendKind.plugin
        var cache: CacheKind?
        var kvCache: ElementType?
        var quantization: QuantizationRequest?
        var headSize = 64
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "plugin-f16"), Case(name: "plugin-bf16", precision: .bf16),
        Case(name: "plugin-f32", precision: .f32),
        Case(name: "iattention-static-v2", backend: .iattention, cache: .staticV2),
        Case(name: "sdpa-none", backend: .sdpa, cache: CacheKind.none),
        Case(name: "sdpa-static-v1", backend: .sdpa, cache: .staticV1),
        Case(name: "plugin-i8-cache", kvCache: .i8),
        Case(
            name: "plugin-int4",
            quantization: QuantizationRequest(
                layers: QuantizationScheme(bits: 4, groupSize: 64),
                head: QuantizationScheme(bits: 8, groupSize: nil))),
        Case(
            name: "plugin-int4-128",
            quantization: QuantizationRequest(
                layers: QuantizationScheme(bits: 4, groupSize: 128),
                head: QuantizationScheme(bits: 8, groupSize: nil)),
            headSize: 128),
    ]

    private static func config(headSize: Int) -> String {
        """
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 256, "num_hidden_layers": 2,
         "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": \(headSize), "intermediate_size": 512,
         "vocab_size": 1000, "rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 512,
         "tie_word_embeddings": true, "attention_bias": false, "torch_dtype": "float16", "eos_token_id": 1}
        """
    }

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    /// The plan of a case for the reference GPU.
    static func plan(_ test: Case) throws -> (backend: CUDABackend, plan: Plan) {
        let model = try Importer.importConfig(
            JSON.parse(Array(config(headSize: test.headSize).utf8), source: "config"), seed: 0,
            element: test.precision,
            quantization: test.quantization)
        let lowered = try Compiler.lower(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(
                precision: test.precision, kvCacheType: test.kvCache, backend: test.backend, cache: test.cache
            ),
            plugins: .standard)
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        return (backend, try Compiler.dryRun(lowered, plugins: .standard, backend: backend))
    }

    @Test(arguments: cases) func passesLaunchWhatIsRecorded(_ test: Case) throws {
        let (backend, plan) = try Self.plan(test)
        let text = try backend.launches(of: plan, .standard).map { pass in
            "\(pass.title)\n" + (pass.notes + pass.launches).map { "  \($0)\n" }.joined()
        }.joined()
        let file = Self.folder.appending(path: "\(test.name).txt")
        if ProcessInfo.processInfo.environment["RECORD"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
            Issue.record("recorded \(file.lastPathComponent); run again without RECORD")
            return
        }
        #expect(
            try String(contentsOf: file, encoding: .utf8) == text, "RECORD=1 records what is launched now")
    }

    /// A plan and its loop, which know each other, end with the executor that holds them, and free the device's memory.
    @Test func plansThatLoopEnd() throws {
        let (_, plan) = try Self.plan(Self.cases[0])
        weak var held: CUDAPlan?
        do {
            let bound = try CUDABackend.bound(plan, .standard, .hopper, batch: 1, width: 1, capacity: 128)
                .plan
            #expect(bound.loop != nil)
            held = bound
        }
        #expect(held == nil)
    }

    /// Without memory for the loop, tokens come one by one, and the user hears of it once.
    @Test func loopsWithoutMemoryAreReported() throws {
        let (_, plan) = try Self.plan(Self.cases[0])
        let bound = try CUDABackend.bound(plan, .standard, .hopper, batch: 1, width: 1, capacity: 1 << 44)
            .plan
        #expect(bound.warnings.isEmpty)
        for _ in 0..<2 { #expect(bound.loop == nil) }
        #expect(bound.warnings.count == 1)
        #expect(bound.warnings.first?.contains("bytes for the token loop on GPU 0") == true)
    }

    /// One token more changes none of the launches that a token loop repeats.
    @Test(arguments: cases.filter { $0.cache != CacheKind.none })
    func decodeDoesNotFollowThePosition(_ test: Case) throws {
        let (_, plan) = try Self.plan(test)
        let outline = try CUDABackend.outline(of: plan, .standard, .hopper, batch: 1, width: 1)
        #expect(outline.isSteadyInLoops)
    }
}
