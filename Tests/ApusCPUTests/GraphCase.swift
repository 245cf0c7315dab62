import ApusGraph
import ApusReference
import GraphCases
import Testing

@testable import ApusCPU

extension GraphCase: CustomTestStringConvertible {
    package var testDescription: String { name }
}

extension GraphCase {
    /// Compares the compiled graph with the interpreter, which is the slow one: it runs once for all instruction sets.
    func check(_ sets: [InstructionSet], threads: [Int] = [1, 2, 3]) throws {
        let graph = try Graph(parsing: text)
        try graph.verify()
        let inputs = try inputs(graph)
        let expected = try Interpreter(graph: graph, weights: NoWeights()).run(inputs)
        for set in sets {
            for count in threads {
                let run = try GraphRun(graph, set: set, threads: count)
                for (name, tensor) in inputs { try run.set(name, tensor) }
                let got = try run.run(batch: batch, width: width)
                for (index, pair) in zip(expected, got).enumerated() {
                    let message: Comment = "output \(index), \(set), \(count) threads"
                    #expect(pair.0.shape == pair.1.shape && pair.0.element == pair.1.element, message)
                    let error = Self.difference(pair.0, pair.1)
                    #expect(error <= tolerance, message)
                }
            }
        }
    }
}
