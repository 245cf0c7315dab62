import ApusGraph
import ApusReference
import ApusSupport

/// Numbers that depend on a name and a position alone, so that two graphs are given the same.
enum SeededValues {
    /// Multiples of 1/64 from −1 to 1: every floating-point type holds them exactly.
    static func numbers(_ name: String, _ count: Int) -> [Float] {
        integers(name, count, below: 129).map { Float($0 - 64) / 64 }
    }

    /// Integers from 0 to below `limit`.
    static func integers(_ name: String, _ count: Int, below limit: Int) -> [Int] {
        // FNV-1a of the name, then a linear congruential generator; its upper bits are the better ones.
        var state = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(max(limit, 1)))
        }
    }

    /// A tensor of that type and shape.
    static func tensor(_ name: String, _ element: ElementType, _ shape: [Int], below limit: Int) -> Tensor {
        let count = shape.reduce(1, *)
        if element.isFloat { return Tensor(element, shape, floats: numbers(name, count)) }
        return Tensor(element, shape, ints: integers(name, count, below: element == .bool ? 2 : limit))
    }
}

/// Weights for a graph that comes without: numbers that depend on each weight's name, FP32 where they are not integers.
public struct SeededWeights: WeightSource {
    private let types: [String: TensorType]

    /// Weights for all parameters of a graph.
    public init(_ graph: Graph) {
        var types: [String: TensorType] = [:]
        for node in graph.nodes where node.op == "parameter" {
            if case .string(let name)? = node.attributes["name"] {
                let type = graph.type(of: node.result)
                types[name] = type.element.isFloat ? TensorType(.f32, type.shape) : type
            }
        }
        self.types = types
    }

    /// The type of a weight: FP32 for any type of floating-point numbers.
    public func type(of name: String) -> TensorType? { types[name] }

    /// Gives the bytes of a weight to `body`.
    public func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let type = types[name], let count = type.constantShape?.reduce(1, *) else {
            throw ApusError(.notFound, "the graph has no parameter '\(name)'")
        }
        guard type.element.isFloat else {
            // Below 16: codes of any width, and rows of any table that is not tiny.
            let size = type.element.byteCount
            var bytes = [UInt8](repeating: 0, count: count * size)
            let limit = type.element == .bool ? 2 : 16
            for (place, value) in SeededValues.integers(name, count, below: limit).enumerated() {
                bytes[place * size] = UInt8(value)
            }
            return try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
        let numbers = SeededValues.numbers(name, count)
        let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
        defer { buffer.deallocate() }
        _ = buffer.initialize(from: numbers)
        try body(UnsafeRawBufferPointer(buffer))
    }
}
