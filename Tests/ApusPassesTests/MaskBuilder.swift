import ApusGraph
import ApusPasses
import ApusReference
import ApusSupport

/// A graph with attentions whose masks a test builds in one way or another.
struct MaskBuilder {
    /// A condition on the query and key of a score, as a test writes it.
    indirect enum Condition: Sendable {
        /// a·q + b·k + c ≥ 0.
        case atLeastZero(Int, Int, Int)
        /// ⌊q / n⌋ = ⌊k / n⌋.
        case sameChunk(Int)
        case not(Condition)
        case and(Condition, Condition)
        case or(Condition, Condition)
        case constant(Bool)

        static func distance(_ range: ClosedRange<Int>) -> Condition {
            .and(.atLeastZero(1, -1, -range.lowerBound), .atLeastZero(-1, 1, range.upperBound))
        }

        func holds(_ q: Int, _ k: Int) -> Bool {
            switch self {
            case .atLeastZero(let a, let b, let c): a * q + b * k + c >= 0
            case .sameChunk(let size): q / size == k / size
            case .not(let x): !x.holds(q, k)
            case .and(let x, let y): x.holds(q, k) && y.holds(q, k)
            case .or(let x, let y): x.holds(q, k) || y.holds(q, k)
            case .constant(let value): value
            }
        }
    }

    /// How a condition becomes a mask.
    enum Form: String, CaseIterable, Sendable {
        case boolean, infinite, lowest, halfLowest, product, expanded, paddedAndSliced, table, biasTable

        /// Whether the mask is known by its values up to the largest sequence only.
        var isTable: Bool { self == .table || self == .biasTable }
    }

    /// Largest sequence.
    static let limit = 12
    private(set) var builder: GraphBuilder
    private let operands: [Value]
    private var results: [Value] = []
    private let size = Dimension.symbol("S")

    init() {
        builder = GraphBuilder(name: "masks", symbols: [Symbol("B", 1...4), Symbol("S", 1...Self.limit)])
        let type = TensorType(.f32, [.symbol("B"), 2, .symbol("S"), 4])
        operands = [builder.input("q", type), builder.input("k", type), builder.input("v", type)]
    }

    mutating func add(
        _ op: String, _ operands: [Value?], _ attributes: [String: Attribute] = [:]
    ) throws -> Value {
        try builder.add(op, operands, attributes)
    }

    mutating func number(_ value: Double, _ element: ElementType = .i64) -> Value {
        builder.scalar(value, element)
    }

    /// Adds an attention over a mask; the mask becomes an output as well.
    mutating func attend(_ mask: Value) throws {
        results.append(
            try add("scaled_dot_product_attention", operands + [mask], ["scale": 0.5]))
        results.append(mask)
    }

    func finish() -> Graph { builder.finish(results) }

    // MARK: Masks

    /// Query positions [S, 1] and key positions [S].
    mutating func positions() throws -> (query: Value, key: Value) {
        let key = try add("arange", [], ["end": .dimension(size), "element": .element(.i64)])
        return (try add("unsqueeze", [key], ["dim": 1]), key)
    }

    /// A condition as a boolean tensor that broadcasts to [S, S].
    mutating func boolean(_ condition: Condition) throws -> Value {
        switch condition {
        case .atLeastZero(let a, let b, let c):
            let (query, key) = try positions()
            // a·q ≥ −b·k − c
            let left = try add("mul", [query, number(Double(a))])
            let right = try add(
                "sub", [try add("mul", [key, number(Double(-b))]), number(Double(c))])
            return try add("ge", [left, right])
        case .sameChunk(let chunk):
            let (query, key) = try positions()
            let divisor = number(Double(chunk))
            return try add(
                "eq",
                [try add("floor_divide", [query, divisor]), try add("floor_divide", [key, divisor])])
        case .not(let x): return try add("logical_not", [try boolean(x)])
        case .and(let x, let y): return try add("logical_and", [try boolean(x), try boolean(y)])
        case .or(let x, let y): return try add("logical_or", [try boolean(x), try boolean(y)])
        case .constant(let value):
            return try add(
                "full", [],
                [
                    "shape": .dimensions([size, size]), "value": value ? 1 : 0.0,
                    "element": .element(.bool),
                ])
        }
    }

    /// What is added to scores: 0 where the condition holds, else `hidden`.
    mutating func bias(_ condition: Value, hidden: Double) throws -> Value {
        try add("where", [condition, number(0, .f32), number(hidden, .f32)])
    }

    /// A table of numbers of the largest size, sliced to the sequence.
    mutating func table(_ element: ElementType, _ value: (Int, Int) -> Double) throws -> Value {
        let values = (0..<Self.limit).flatMap { q in (0..<Self.limit).map { k in value(q, k) } }
        var mask = builder.constant(
            TensorLiteral(TensorType(element, [1, 1, Self.limit, Self.limit]), values))
        for axis in [2, 3] {
            mask = try add("slice", [mask], ["dim": .int(axis), "end": .dimension(size)])
        }
        return mask
    }

    /// A mask [S, S] or [1, 1, S, S] of the condition.
    mutating func mask(_ condition: Condition, _ form: Form) throws -> Value {
        let lowest = -Double(Float.greatestFiniteMagnitude)
        switch form {
        case .boolean: return try boolean(condition)
        case .infinite: return try bias(boolean(condition), hidden: -.infinity)
        case .lowest: return try bias(boolean(condition), hidden: lowest)
        case .halfLowest: return try bias(boolean(condition), hidden: -65504)
        case .product:
            let hidden = try add("to", [try boolean(.not(condition))], ["element": .element(.f32)])
            let low = try add(
                "full", [],
                ["shape": .dimensions([size, size]), "value": .float(lowest), "element": .element(.f32)])
            return try add("mul", [low, hidden])
        case .expanded:
            let wide = try add(
                "expand", [try boolean(condition)], ["shape": .dimensions([.symbol("B"), 2, size, size])])
            return try add("transpose", [try add("transpose", [wide], swap)], swap)
        case .paddedAndSliced:
            let wide = try add(
                "expand", [try bias(boolean(condition), hidden: -.infinity)],
                ["shape": .dimensions([size, size])])
            let padded = try add("pad", [wide], ["dim": 1, "before": 1, "after": 3, "value": 5.0])
            return try add("slice", [padded], ["dim": 1, "start": 1, "end": .dimension(size + 1)])
        case .table: return try table(.bool) { condition.holds($0, $1) ? 1 : 0 }
        case .biasTable: return try table(.f32) { condition.holds($0, $1) ? 0 : -.infinity }
        }
    }

    private var swap: [String: Attribute] { ["dim0": 2, "dim1": 3] }
}
