import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// y = x / divisor, with scratch, as a program's own op for GPUs.
private struct Shrink: Plugin {
    let name = "Shrink"
    let version = 3

    var op: OpSpec {
        OpSpec("shrink", .engine, "y = x / by", operands: [.one("x")], attributes: [.required("by", .int)]) {
            [$0[0]]
        }
    }
    var reference: ReferenceFunction {
        { call in [call.result(call[0].floats.map { $0 / Float(call.int("by")) })] }
    }
    var cuda: CUDAKernel? {
        CUDAKernel(
            source: """
                extern "C" __global__ void shrink(const float *x, float *y, float *scratch, long long count, float by) {
                    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
                    if (i < count) y[i] = x[i] * SIGN / by;
                }
                """,
            refusal: { $0.operands[0]?.element == .f32 ? nil : "x is not f32" },
            definitions: { _ in ["SIGN": "1"] }, scratchBytes: { $0.shapes.results[0].reduce(4, *) },
            launches: { call in
                let count = call.shapes.results[0].reduce(1, *)
                return [
                    CUDALaunch(
                        function: "shrink", grid: .init((count + 127) / 128), block: .init(128),
                        arguments: [
                            .operand(0), .result(0), .scratch(0), .int64(Int64(count)),
                            .float(Float(call.int("by"))),
                        ])
                ]
            })
    }
}

/// A program's own op on GPUs.
@Suite struct PluginStepTests {
    private static func outline(_ element: String) throws -> PassOutline {
        let plugins = try PluginRegistry([Shrink()])
        let test = GraphCase(
            "shrink", "%x: \(element)[B, S, 6]", "%y = shrink(%x) {by = 2} : \(element)[B, S, 6]")
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        let engine = try Compiler.compile(
            asItStands: try Graph(parsing: test.text), weights: NoWeights(), plugins: plugins,
            backend: backend)
        let run = try CUDAPlanRun(
            engine, limits: SessionLimits(batch: 4, chunk: 160, capacity: 640), on: backend)
        return try run.outline(batch: 2, width: 5)
    }

    @Test func theLaunchesOfAPluginAreMade() throws {
        let outline = try Self.outline("f32")
        #expect(outline.launches == ["Shrink 3(SIGN=1).shrink <1> <128> (*, *, *, 60, 2.0)"])
        #expect(outline.units.map(\.id) == ["Shrink 3(SIGN=1)"])
    }

    @Test func aRefusalIsTold() throws {
        let error = #expect(throws: ApusError.self) { _ = try Self.outline("f16") }
        #expect(error?.message.contains("plugin Shrink 3: x is not f32") == true)
    }

    @Test(
        .enabled(if: KernelCompilationTests.compiler != nil, "NVRTC is not on this machine"),
        arguments: CUDAArchitecture.all)
    func theSourceOfAPluginIsCompiled(architecture: CUDAArchitecture) throws {
        let compiler = try #require(KernelCompilationTests.compiler)
        for unit in try Self.outline("f32").units {
            #expect(try !compiler.compile(unit, for: architecture).isEmpty)
        }
    }
}
