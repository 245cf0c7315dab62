import ApusGraph
import ApusReference
import GraphCases
import Testing

@testable import ApusCPU

extension GraphCase: CustomTestStringConvertible {
    package var testDescription: String { name }
}

extension GraphCase {
    /// Compares the compiled graph with the interpreter.
    func check(_ set: InstructionSet, threads: [Int] = [1, 2, 3]) throws {
        let graph = try Graph(parsing: text)
        try graph.verify()
        let inputs = try inputs(graph)
        let expected = try Interpreter(graph: graph, weights: NoWeights()).run(inputs)
        for count in threads {
            let run = try GraphRun(graph, set: set, threads: count)
            for (name, tensor) in inputs { try run.set(name, tensor) }
            let got = try run.run(batch: batch, width: width)
            for (index, pair) in zip(expected, got).enumerated() {
                #expect(pair.0.shape == pair.1.shape && pair.0.element == pair.1.element)
                let error = Self.difference(pair.0, pair.1)
                #expect(error <= tolerance, "output \(index), \(count) threads")
            }
        }
    }
}
