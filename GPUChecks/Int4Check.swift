import Apus
import ApusCUDA
import ApusCompiler
import ApusEngine
import ApusGraph
import ApusSupport
import GraphCases

/// Products with codes of four bits on a GPU against double precision.
struct Int4Check {
    let backend: CUDABackend
    /// The first pass launches kernel by kernel, the second captures a graph where it can, the third replays it.
    private let passCount = 3

    /// The error that is allowed, relative to the sum of the magnitudes that are added.
    ///
    /// Up to 8 rows are multiplied exactly and added in FP32. More are rounded to FP16 first, which costs each at most
    /// 2⁻¹¹, and above 128 the weights too.
    private func tolerance(_ test: Int4Case) -> Double {
        test.m <= 8 ? 1e-5 : (test.m <= 128 ? 1 : 2) * 0x1p-11 + 1e-5
    }

    /// The largest error of a case, relative to the sum of the magnitudes that are added.
    ///
    /// GPUs do not round inputs to 8 bits, whatever `activations` allows.
    /// - Throws: `.mismatch` with the first number that is wrong.
    func largestError(of test: Int4Case, activations: String) throws(ApusError) -> Double {
        let engine = try Compiler.compile(
            asItStands: try test.graph(activations: activations), weights: Int4Weights(test),
            plugins: .standard, backend: backend)
        let run = try CUDAPlanRun(
            engine, limits: SessionLimits(batch: 1, chunk: test.m, capacity: test.m), on: backend)
        guard let x = test.operands[0], let memory = run.memory(of: "x") else {
            throw ApusError(.internal, "input 'x' has no memory")
        }
        x.write(as: x.element, to: memory)
        let expected = test.expected(areRounded: false)
        let tolerance = tolerance(test)
        var worst = 0.0
        for pass in 0..<passCount {
            let outputs = try run.run(batch: 1, width: test.m)
            guard let first = outputs.first, first.element == .f32, first.shape == [1, test.m, test.n] else {
                throw ApusError(.mismatch, "pass \(pass): expected an output f32[1, \(test.m), \(test.n)]")
            }
            let got = Tensor(first.element, first.shape, bytes: first.bytes).floats
            for (index, want) in expected.enumerated() {
                let error = abs(Double(got[index]) - want.value) / want.size
                guard error <= tolerance else {
                    throw ApusError(
                        .mismatch,
                        "pass \(pass), row \(index / test.n), feature \(index % test.n): expected \(want.value), "
                            + "got \(got[index]), error \(error) of \(want.size), at most \(tolerance)")
                }
                worst = max(worst, error)
            }
        }
        return worst
    }
}
