import ApusGraph
import ApusReference
import ApusSupport
import TestNumbers

/// Weights that depend on their name and position alone: multiples of 1/64, which every precision holds; codes below 16;
/// orders that run backwards.
struct SeededWeights: WeightSource {
    let types: [String: TensorType]

    init(_ graph: Graph) {
        var types: [String: TensorType] = [:]
        for node in graph.nodes {
            if case .string(let name)? = node.attributes["name"], node.op == "parameter" {
                let type = graph.type(of: node.result)
                types[name] = TensorType(type.element.isFloat ? .f32 : type.element, type.shape)
            }
        }
        self.types = types
    }

    func type(of name: String) -> TensorType? { types[name] }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        let count = types[name]?.constantShape?.reduce(1, *) ?? 0
        let bytes: [UInt8]
        switch types[name]?.element {
        case .u8: bytes = Seeded.integers(name, count, below: 16).map { UInt8($0) }
        case .i64: bytes = (0..<count).flatMap { Self.bytes(UInt64(count - 1 - $0)) }
        default: bytes = Seeded.numbers(name, count).flatMap { Self.bytes($0.bitPattern) }
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        try body(UnsafeRawBufferPointer(buffer))
    }

    private static func bytes<Bits: FixedWidthInteger>(_ bits: Bits) -> [UInt8] {
        (0..<Bits.bitWidth / 8).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
    }
}

enum Seeded {
    private static func state(_ name: String) -> UInt64 {
        name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// Multiples of 1/64 from -1 to 1.
    static func numbers(_ name: String, _ count: Int) -> [Float] {
        integers(name, count, below: 129).map { Float($0 - 64) / 64 }
    }

    static func integers(_ name: String, _ count: Int, below limit: Int) -> [Int] {
        var numbers = Numbers(seed: state(name))
        return (0..<count).map { _ in numbers.below(max(limit, 1)) }
    }

    /// A size for each symbol: 2 sequences of 5 tokens, others as large as they may be up to 16.
    static func sizes(_ graph: Graph) -> [String: Int] {
        var sizes: [String: Int] = [:]
        for symbol in graph.symbols {
            let wanted = ["B": 2, "S": 5, "P": 0][symbol.name] ?? 16
            sizes[symbol.name] = min(max(wanted, symbol.range.lowerBound), symbol.range.upperBound)
        }
        return sizes
    }

    /// An input of that type; integers are positions, or indices into the smallest table of the graph.
    static func input(
        _ name: String, _ type: TensorType, _ graph: Graph, _ sizes: [String: Int]
    ) throws -> Tensor {
        let shape = try type.shape.map { dimension in
            guard let size = dimension.evaluate({ sizes[$0] }) else {
                throw ApusError(.invalidInput, "input \(name) has no size for \(dimension)")
            }
            return size
        }
        let count = shape.reduce(1, *)
        if type.element.isFloat { return Tensor(type.element, shape, floats: numbers(name, count)) }
        let steps = shape.last ?? 1
        switch name {
        case "position_ids", "cache_position":
            return Tensor(type.element, shape, ints: (0..<count).map { $0 % steps })
        case "context_lengths":
            return Tensor(type.element, shape, ints: [Int](repeating: sizes["S"] ?? 1, count: count))
        case "last_token_ids":
            return Tensor(type.element, shape, ints: (0..<count).map { max((sizes["S"] ?? 1) - 1 - $0, 0) })
        default:
            let tables = graph.nodes.filter { $0.op == "embedding" }.compactMap { node in
                node.operands[0].flatMap { graph.type(of: $0).shape.first?.constant }
            }
            return Tensor(type.element, shape, ints: integers(name, count, below: tables.min() ?? 4))
        }
    }

    static func inputs(_ graph: Graph) throws -> [String: Tensor] { try inputs(graph, sizes(graph)) }

    /// Inputs for these sizes of the symbols.
    static func inputs(_ graph: Graph, _ sizes: [String: Int]) throws -> [String: Tensor] {
        var inputs: [String: Tensor] = [:]
        for value in graph.inputs {
            let name = graph.name(of: value) ?? ""
            inputs[name] = try input(name, graph.type(of: value), graph, sizes)
        }
        return inputs
    }
}

extension Tensor {
    /// The numbers of a tensor of either kind.
    var numbers: [Double] { element.isFloat ? floats.map(Double.init) : ints.map(Double.init) }

    /// The elements `range` along a dimension.
    func slice(_ axis: Int, _ range: Range<Int>) -> Tensor {
        let outer = shape[..<axis].reduce(1, *)
        let inner = shape[(axis + 1)...].reduce(1, *)
        var numbers: [Double] = []
        let all = self.numbers
        for o in 0..<outer {
            for i in range {
                let start = (o * shape[axis] + i) * inner
                numbers += all[start..<start + inner]
            }
        }
        var shape = shape
        shape[axis] = range.count
        return Tensor(element, shape, numbers: numbers)
    }
}

/// The largest difference of two tensors, relative to the largest number of the first.
func difference(_ expected: Tensor, _ got: Tensor) -> Double {
    guard expected.shape == got.shape else { return .infinity }
    let largest = expected.numbers.reduce(1e-30) { max($0, abs($1)) }
    return zip(expected.numbers, got.numbers).reduce(0) { worst, pair in
        let error = abs(pair.0 - pair.1) / largest
        return error.isNaN ? .infinity : max(worst, error)
    }
}
