import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// What the products with codes launch whose results `GPUCheck` compares with double precision.
@Suite struct Int4CaseTests {
    @Test(arguments: Int4Case.all) func rowsChooseTheKernel(_ test: Int4Case) throws {
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        for activations in ["int8", "f32"] {
            let engine = try Compiler.compile(
                asItStands: try test.graph(activations: activations), weights: Int4Weights(test),
                plugins: .standard, backend: backend)
            let run = try CUDAPlanRun(
                engine, limits: SessionLimits(batch: 1, chunk: test.m, capacity: test.m), on: backend)
            #expect(Array(run.inputTypes.keys) == ["x"])
            let outline = try run.outline(batch: 1, width: test.m)
            let sources = Set(outline.units.map(\.source))
            if test.m <= 8 {
                #expect(sources == ["quantized_gemv"])
                // Kernels write as many rows as they are made for, and these operands end with the last one.
                let rows = outline.units.compactMap { $0.macros["ROWS"].flatMap { Int($0) } }
                #expect(rows.reduce(0, +) == test.m && outline.launches.count == rows.count)
            } else if test.m <= 128 {
                #expect(sources == ["quantized_gemm"])
            } else {
                #expect(sources.contains("dequantize") || sources == ["quantized_gemm"])
            }
        }
    }
}
