import ApusCUDA
import ApusCompiler
import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport
import GraphCases

/// A graph on a GPU against the reference interpreter.
struct CaseCheck {
    let backend: CUDABackend
    private let limits = SessionLimits(batch: 4, chunk: 160, capacity: 640)
    private let seedCount = 2
    /// The first pass launches kernel by kernel, the second captures a graph where it can, the third replays it.
    private let passCount = 3

    /// The largest error over all outputs and seeds.
    /// - Throws: What the case throws on one side only, or the outputs that differ.
    func largestError(of test: GraphCase) throws(ApusError) -> Double {
        let graph = try Graph(parsing: test.text)
        try graph.verify()
        let engine = try Compiler.compile(asItStands: graph, weights: NoWeights(), backend: backend)
        let run = try CUDAPlanRun(engine, limits: limits, on: backend)
        var worst = 0.0
        for seed in 0..<seedCount {
            var test = test
            // A start that moves between passes of equal sizes.
            if let starts = test.values["start"], starts.count > 1 {
                test = test.starting(at: starts[seed % starts.count])
            }
            let inputs = try test.inputs(graph, seed: seed)
            let expected = try Interpreter(graph: graph, weights: NoWeights()).run(inputs)
            for _ in 0..<passCount {
                try set(inputs, of: run)
                let got = try run.run(batch: test.batch, width: test.width)
                for (index, pair) in zip(expected, got).enumerated() {
                    let tensor = Tensor(pair.1.element, pair.1.shape, bytes: pair.1.bytes)
                    let error =
                        pair.0.element == tensor.element ? GraphCase.difference(pair.0, tensor) : .infinity
                    guard error <= test.tolerance else {
                        throw ApusError(
                            .mismatch,
                            "output \(index), \(pair.0.element)\(pair.0.shape), seed \(seed): error \(error)"
                                + firstDifference(pair.0, tensor))
                    }
                    worst = max(worst, error)
                }
            }
        }
        return worst
    }

    /// Whether both sides refuse the data of a case.
    func refusal(of test: GraphCase) throws(ApusError) -> String {
        let graph = try Graph(parsing: test.text)
        let engine = try Compiler.compile(asItStands: graph, weights: NoWeights(), backend: backend)
        let run = try CUDAPlanRun(engine, limits: limits, on: backend)
        let inputs = try test.inputs(graph)
        if (try? Interpreter(graph: graph, weights: NoWeights()).run(inputs)) != nil {
            throw ApusError(.mismatch, "the interpreter computes it")
        }
        try set(inputs, of: run)
        do throws(ApusError) {
            _ = try run.run(batch: test.batch, width: test.width)
        } catch {
            guard error.code == .invalidInput else { throw error }
            return error.message
        }
        throw ApusError(.mismatch, "the GPU computes it")
    }

    private func set(_ inputs: [String: Tensor], of run: CUDAPlanRun) throws(ApusError) {
        for (name, element) in run.inputTypes {
            guard let memory = run.memory(of: name), let tensor = inputs[name] else {
                throw ApusError(.internal, "input '\(name)' has no memory")
            }
            tensor.write(as: element, to: memory)
        }
    }

    private func firstDifference(_ expected: Tensor, _ got: Tensor) -> String {
        guard expected.shape == got.shape else { return "; shape \(got.shape)" }
        for index in expected.floats.indices where abs(expected.floats[index] - got.floats[index]) > 1e-3 {
            return "; at \(index): expected \(expected.floats[index]), got \(got.floats[index])"
        }
        for index in expected.ints.indices where expected.ints[index] != got.ints[index] {
            return "; at \(index): expected \(expected.ints[index]), got \(got.ints[index])"
        }
        return ""
    }
}
