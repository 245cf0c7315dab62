import ApusGraph
import ApusReference
import ApusSupport

/// Weights that a test writes down.
struct Weights: WeightSource {
    var table: [String: (type: TensorType, bytes: [UInt8])] = [:]

    func type(of name: String) -> TensorType? { table[name]?.type }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let bytes = table[name]?.bytes else { throw ApusError(.notFound, "no weight '\(name)'") }
        try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
            try body(UnsafeRawBufferPointer(buffer))
        }
    }
}

/// Runs a graph given as text.
func evaluate(
    _ text: String, _ inputs: [String: Tensor], weights: Weights = Weights()
) throws -> [Tensor] {
    try Interpreter(graph: Graph(parsing: text), weights: weights).run(inputs)
}

/// Runs one op on inputs `%0`, `%1`, … and returns its results.
func apply(
    _ op: String, _ operands: [Tensor?], attributes: String = "", results: TensorType...
) throws -> [Tensor] {
    let inputs = operands.enumerated().compactMap { index, tensor in tensor.map { ("x\(index)", $0) } }
    let header = inputs.map { "%\($0.0): \($0.1)" }.joined(separator: ", ")
    let list = operands.enumerated().map { $1 == nil ? "none" : "%x\($0)" }.joined(separator: ", ")
    let names = results.indices.map { "%y\($0)" }.joined(separator: ", ")
    let types = results.map(\.description).joined(separator: ", ")
    let block = attributes.isEmpty ? "" : " {\(attributes)}"
    return try evaluate(
        "graph @f(\(header)) { \(names) = \(op)(\(list))\(block) : \(types) return \(names) }",
        Dictionary(uniqueKeysWithValues: inputs))
}

/// Applies an op with one f32 result.
func apply(
    _ op: String, _ operands: [Tensor?], attributes: String = "", shape: [Int]
) throws -> [Float] {
    try apply(op, operands, attributes: attributes, results: TensorType(.f32, shape))[0].floats
}

/// An f32 tensor.
func f32(_ shape: [Int], _ values: [Float]) -> Tensor { Tensor(.f32, shape, floats: values) }

/// Whether two lists are equal up to `tolerance` in each element.
func near(_ a: [Float], _ b: [Float], _ tolerance: Float = 1e-6) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance }
}
