import ApusGraph
import ApusReference
import ApusSupport
import Testing

@testable import ApusCPU

/// A small graph as text, with the sizes and inputs that it is tested on.
struct GraphCase: CustomTestStringConvertible, Sendable {
    let name: String
    let text: String
    var batch = 2
    var width = 5
    /// Integer inputs hold numbers of this range, unless `values` gives them.
    var integers = 0..<4
    var values: [String: [Int]] = [:]
    /// Largest error of a number, relative to the largest of its tensor.
    var tolerance = 1e-5

    var testDescription: String { name }

    init(
        _ name: String, _ signature: String, _ body: String, returns: String = "%y", batch: Int = 2,
        width: Int = 5, integers: Range<Int> = 0..<4, values: [String: [Int]] = [:], tolerance: Double = 1e-5
    ) {
        self.name = name
        let start = signature.contains("%start") ? ", P = value(%start) in 0...600" : ""
        text = """
            graph @f(%input_ids: i64[B, S]\(signature.isEmpty ? "" : ", ")\(signature))
                where B in 1...4, S in 0...160, C in 640...640\(start) {
              \(body)
              return \(returns)
            }
            """
        self.batch = batch
        self.width = width
        self.integers = integers
        self.values = values
        self.tolerance = tolerance
    }

    /// Seeded inputs of the graph.
    func inputs(_ graph: Graph) throws -> [String: Tensor] {
        var inputs: [String: Tensor] = [:]
        let sizes = ["B": batch, "S": width, "C": 640, "P": values["start"]?.first ?? 0]
        for (seed, value) in graph.inputs.enumerated() {
            let name = graph.name(of: value) ?? ""
            let type = graph.type(of: value)
            let shape = try type.shape.map { try #require($0.evaluate { sizes[$0] }) }
            let count = shape.reduce(1, *)
            let noise = Self.noise(count, seed: UInt64(seed + 1))
            if let given = values[name] {
                inputs[name] = Tensor(type.element, shape, ints: (0..<count).map { given[$0 % given.count] })
            } else if type.element.isFloat {
                inputs[name] = Tensor(type.element, shape, floats: noise)
            } else {
                let range = type.element == .bool ? 0..<2 : integers
                inputs[name] = Tensor(
                    type.element, shape,
                    ints: noise.map { range.lowerBound + Int(($0 + 1) / 2 * Float(range.count)) }
                        .map { min($0, range.upperBound - 1) })
            }
        }
        return inputs
    }

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

    /// The largest difference relative to the largest finite number; exact for what is no float.
    static func difference(_ expected: Tensor, _ got: Tensor) -> Double {
        guard expected.shape == got.shape else { return .infinity }
        if !expected.element.isFloat { return expected.ints == got.ints ? 0 : .infinity }
        let largest = expected.floats.reduce(1e-30) { $1.isFinite ? max($0, Double(abs($1))) : $0 }
        return zip(expected.floats, got.floats).reduce(0) { worst, pair in
            if pair.0 == pair.1 || (pair.0.isNaN && pair.1.isNaN) { return worst }
            let error = abs(Double(pair.0) - Double(pair.1)) / largest
            return error.isNaN ? .infinity : max(worst, error)
        }
    }

    /// Numbers between -1 and 1 that depend only on the seed.
    static func noise(_ count: Int, seed: UInt64) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
        }
    }
}
