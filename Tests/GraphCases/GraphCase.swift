package import ApusGraph
package import ApusSupport
import TestNumbers

/// A small graph as text, with the sizes and inputs that a backend is tested on.
package struct GraphCase: Sendable {
    package let name: String
    package let text: String
    /// Sequences, the symbol `B`.
    package let batch: Int
    /// Tokens of each, the symbol `S`.
    package let width: Int
    /// Integer inputs hold numbers of this range, unless `values` gives them.
    package let integers: Range<Int>
    /// Elements of integer inputs, repeated as often as need be.
    package let values: [String: [Int]]
    /// Largest error of a number, relative to the largest of its tensor.
    package let tolerance: Double

    /// Declares a case.
    /// - Parameters:
    ///   - signature: Inputs beside `input_ids`.
    ///   - body: The nodes of the graph.
    ///   - returns: The outputs.
    package init(
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

    /// The same with one value of the input `start`.
    package func starting(at start: Int) -> GraphCase {
        GraphCase(self, values: values.merging(["start": [start]]) { $1 })
    }

    private init(_ other: GraphCase, values: [String: [Int]]) {
        (name, text, batch, width) = (other.name, other.text, other.batch, other.width)
        (integers, tolerance) = (other.integers, other.tolerance)
        self.values = values
    }

    /// Seeded inputs of the graph.
    package func inputs(_ graph: Graph, seed first: Int = 0) throws(ApusError) -> [String: Tensor] {
        var inputs: [String: Tensor] = [:]
        let sizes = ["B": batch, "S": width, "C": 640, "P": values["start"]?.first ?? 0]
        for (place, value) in graph.inputs.enumerated() {
            let name = graph.name(of: value) ?? ""
            let type = graph.type(of: value)
            var shape: [Int] = []
            for dimension in type.shape {
                guard let size = dimension.evaluate({ sizes[$0] }) else {
                    throw ApusError(.invalidInput, "input '\(name)': nothing gives \(dimension) a value")
                }
                shape.append(size)
            }
            let count = shape.reduce(1, *)
            let noise = Numbers.array(count, seed: UInt64(1000 * first + place + 1))
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

    /// The largest difference relative to the largest finite number; exact for what is no float.
    package static func difference(_ expected: Tensor, _ got: Tensor) -> Double {
        guard expected.shape == got.shape else { return .infinity }
        if !expected.element.isFloat { return expected.ints == got.ints ? 0 : .infinity }
        // Loops without closures: a debug build compares millions of numbers.
        return expected.floats.withUnsafeBufferPointer { expected in
            got.floats.withUnsafeBufferPointer { got in
                guard expected.count == got.count else { return .infinity }
                var largest: Float = 1e-30
                var worst: Float = 0
                var index = 0
                while index < expected.count {
                    let (want, found) = (expected[index], got[index])
                    index += 1
                    if want.isFinite { largest = max(largest, abs(want)) }
                    if want == found || (want.isNaN && found.isNaN) { continue }
                    let error = abs(want - found)
                    worst = error.isNaN ? .infinity : max(worst, error)
                }
                return Double(worst) / Double(largest)
            }
        }
    }
}

/// A graph without weights.
package struct NoWeights: WeightSource {
    /// Makes the source.
    package init() {}
    /// Nil.
    package func type(of name: String) -> TensorType? { nil }
    /// Throws.
    package func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        throw ApusError(.notFound, "no weight '\(name)'")
    }
}
