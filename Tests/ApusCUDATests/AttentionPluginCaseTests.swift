import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import AttentionCases
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// What the calls of the AttentionPlugin launch whose results `GPUCheck` compares with attention in double precision.
@Suite struct AttentionPluginCaseTests {
    /// What each call of a case launches.
    private static func outlines(_ test: PluginCase, _ cache: ElementType) throws -> [PassOutline] {
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        let script = Script(test)
        return try script.calls.map { call in
            var types = script.operandTypes(cache)
            for (index, tensor) in [
                (0, call.packed), (2, call.lengths), (4, call.starts), (7, call.mask), (8, call.positions),
            ] {
                if let tensor { types[index] = TensorType(tensor.element, tensor.shape) }
            }
            let engine = try Compiler.compile(
                asItStands: try script.graph(types), weights: NoWeights(), plugins: .standard,
                backend: backend)
            let width = call.packed.shape[1]
            let run = try CUDAPlanRun(
                engine,
                limits: SessionLimits(batch: test.batch, chunk: width, capacity: max(script.capacity, width)),
                on: backend)
            // Every operand is an input that a check gives, the cache among them.
            let names = types.indices.filter { types[$0] != nil }.map { Script.inputName($0) }
            #expect(Set(run.inputTypes.keys) == Set(names))
            #expect(names.allSatisfy { run.memory(of: $0) != nil })
            #expect(run.inputTypes[Script.inputName(1)] == cache)
            return try run.outline(batch: test.batch, width: width)
        }
    }

    /// Which kernels serve a case.
    struct Sample: CustomTestStringConvertible {
        let list: [PluginCase]
        let name: String
        let cache: ElementType
        /// The kernels of each call.
        let kernels: [[String]]
        var testDescription: String { "\(name), cache of \(cache)" }
    }

    private static let chunk = (
        rows: ["rope_kv", "attention_rows"], tiles: ["rope_kv", "attention_prefill"]
    )
    private static let hopper = ["rope_kv", "attention_prefill_sm90"]

    static let samples = [
        Sample(list: PluginCase.contexts, name: "one token", cache: .bf16, kernels: [["attention_decode"]]),
        Sample(list: PluginCase.contexts, name: "window 63", cache: .f32, kernels: [chunk.rows]),
        Sample(
            list: PluginCase.contexts, name: "window 31 in chunks", cache: .f16,
            kernels: [chunk.tiles, chunk.tiles]),
        Sample(list: PluginCase.contexts, name: "unequal lengths", cache: .bf16, kernels: [hopper]),
        Sample(
            list: PluginCase.decodes, name: "ratio 8", cache: .f16,
            kernels: [hopper, ["attention_decode"], ["attention_decode"]]),
        Sample(
            list: PluginCase.decodes, name: "the first token", cache: .f32,
            kernels: Array(repeating: ["attention_decode"], count: 3)),
        // Too wide for the kernel of single tokens.
        Sample(
            list: PluginCase.decodes, name: "ratio 1 of 512", cache: .f16, kernels: [chunk.rows, chunk.rows]),
        Sample(
            list: PluginCase.trees, name: "padding", cache: .bf16,
            kernels: [chunk.tiles, chunk.rows, chunk.rows]),
        Sample(
            list: PluginCase.trees, name: "one token is a tree too", cache: .f16,
            kernels: [hopper, chunk.rows]),
    ]

    @Test(arguments: samples) func callsLaunchTheKernelsOfTheirPhase(_ sample: Sample) throws {
        let test = try #require(sample.list.first { $0.name == sample.name })
        let kernels = try Self.outlines(test, sample.cache).map { outline in
            outline.launches.map { launch in String(launch.prefix { $0 != "(" }) }
        }
        #expect(kernels == sample.kernels)
    }

    @Test(arguments: [PluginCase.fullContexts, PluginCase.fullDecodes, PluginCase.fullTrees])
    func casesOfModelsLaunch(_ list: [PluginCase]) throws {
        var test = try #require(list.first)
        // What is launched does not follow from what is compared.
        test.rowLimit = 2
        for outline in try Self.outlines(test, .f16) { #expect(!outline.launches.isEmpty) }
    }

    /// Every case of the quick lists, on the null device.
    @Test func allCasesLaunch() throws {
        for (index, test) in (PluginCase.contexts + PluginCase.decodes + PluginCase.trees).enumerated() {
            let cache = [ElementType.f32, .f16, .bf16][index % 3]
            for outline in try Self.outlines(test, cache) {
                #expect(!outline.launches.isEmpty, "\(test.name), cache of \(cache)")
            }
        }
    }
}
