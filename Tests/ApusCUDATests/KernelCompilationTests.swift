import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// The sources of the kernels that serve any strided tensors, through NVRTC, with the macros that launches ask for.
@Suite struct KernelCompilationTests {
    static let compiler = try? KernelCompiler.system()

    /// Sources that belong to other suites.
    private static let generic: Set<String> = [
        "binary", "convert", "copy", "embedding_rows", "gather_last_token", "generate", "index",
        "linear_rows", "matmul", "move",
        "reduce", "rope", "softmax", "unary",
    ]

    /// Of cases that differ in size, one: what is compiled follows from types.
    private static let cases =
        Dictionary(grouping: GraphCase.generated) { $0.name.split(separator: ",")[0] }.values.compactMap(
            \.last)
        + GraphCase.views + GraphCase.elementwise + GraphCase.logic + GraphCase.reductions
        + GraphCase.shapes + GraphCase.products + GraphCase.caches

    /// What the launches of all cases are compiled from, by source.
    private static let units = Result { Dictionary(grouping: try allUnits(), by: \.source) }

    /// So many units of each source, evenly chosen.
    private static func units(ofEach count: Int) throws -> [KernelUnit] {
        try units.get().values.flatMap { units in
            stride(from: 0, to: units.count, by: (units.count + count - 1) / count).map { units[$0] }
        }
    }

    private static func allUnits() throws -> [KernelUnit] {
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        var units = Set(
            ["float", "half_t", "bfloat_t"].map {
                KernelUnit("linear_rows", ["X_TYPE": "float", "W_TYPE": $0, "Y_TYPE": "float"])
            })
        for test in cases where test.width > 0 {
            let graph = try Graph(parsing: test.text)
            let engine = try Compiler.compile(asItStands: graph, weights: NoWeights(), backend: backend)
            let run = try CUDAPlanRun(
                engine, limits: SessionLimits(batch: 4, chunk: 160, capacity: 640), on: backend)
            for (name, tensor) in try test.inputs(graph) {
                if let memory = run.memory(of: name), let element = run.inputTypes[name] {
                    tensor.write(as: element, to: memory)
                }
            }
            units.formUnion(try run.units(batch: test.batch, width: test.width))
        }
        return units.filter { generic.contains($0.source) }.sorted { $0.id < $1.id }
    }

    @Test func launchesAskForEverySource() throws {
        #expect(Set(try Self.units.get().keys) == Self.generic)
    }

    @Test(.enabled(if: compiler != nil, "NVRTC is not on this machine"))
    func unitsOfAllTypesCompileForHopper() async throws {
        try await compile(try Self.units(ofEach: 4), for: .hopper)
    }

    @Test(
        .enabled(if: compiler != nil, "NVRTC is not on this machine"),
        arguments: CUDAArchitecture.all.filter { $0 != .hopper })
    func everySourceCompilesForEveryOtherArchitecture(architecture: CUDAArchitecture) async throws {
        try await compile(try Self.units(ofEach: 1), for: architecture)
    }

    /// What models launch: of decode steps of one sequence and of eight, and of a prompt.
    @Test(
        .enabled(if: compiler != nil, "NVRTC is not on this machine"), arguments: CUDAArchitecture.all)
    func kernelsOfModelsCompile(architecture: CUDAArchitecture) async throws {
        var units: Set<KernelUnit> = []
        for test in LaunchGoldenTests.cases {
            // The types of weights differ little: one of them for each architecture but the reference.
            guard architecture == .hopper || test.precision == .f16 else { continue }
            let (_, plan) = try LaunchGoldenTests.plan(test)
            for (batch, width) in [(1, 1), (8, 1), (1, 512)] {
                units.formUnion(
                    try CUDABackend.outline(of: plan, .standard, architecture, batch: batch, width: width)
                        .units)
            }
            units.formUnion(CUDATokenLoop.units(of: plan))
        }
        let known = Self.generic
        try await compile(
            units.filter { !known.contains($0.source) }.sorted { $0.id < $1.id }, for: architecture)
    }

    /// The decode kernel with all that it does to the new token, in every variant for the reference GPU.
    @Test(
        .enabled(if: compiler != nil, "NVRTC is not on this machine"), arguments: CUDAArchitecture.all)
    func layersOfDecodeStepsCompile(architecture: CUDAArchitecture) async throws {
        let backend = CUDABackend(compilingFor: [architecture], host: try CPUBackend(threads: 1))
        var units: Set<KernelUnit> = []
        for test in GraphCase.decodeLayers.prefix(architecture == .hopper ? .max : 4) where test.width == 1 {
            let engine = try Compiler.compile(
                asItStands: Graph(parsing: test.text), weights: NoWeights(), backend: backend)
            let run = try CUDAPlanRun(
                engine, limits: SessionLimits(batch: 2, chunk: 1, capacity: 640), on: backend)
            units.formUnion(try run.units(batch: 2, width: 1))
        }
        #expect(!units.isEmpty && units.allSatisfy { $0.source == "attention_decode" })
        try await compile(units.sorted { $0.id < $1.id }, for: architecture)
    }

    private func compile(_ units: [KernelUnit], for architecture: CUDAArchitecture) async throws {
        let compiler = try #require(Self.compiler)
        await withTaskGroup(of: Void.self) { group in
            for unit in units {
                group.addTask {
                    do throws(ApusError) {
                        let cubin = try compiler.compile(unit, for: architecture)
                        #expect(!cubin.isEmpty, "\(unit.id)")
                    } catch {
                        Issue.record("\(architecture): \(error)")
                    }
                }
            }
        }
    }
}
