import ApusGraph
import ApusSupport

/// What a pair of cosine and sine tables is proven to hold: cos and sin of position · frequency, times a factor.
struct RotaryTable: Hashable {
    /// One frequency for each pair of rotated dimensions.
    let frequencies: [Double]
    /// Factor on cosines and sines.
    let scaling: Double
}

/// Proves from how they are computed that two values are rotary tables of the input `position_ids`.
///
///     %f = mul(unsqueeze(to(%position_ids)), inv_freq) ; %e = cat(%f, %f)
///     %cos = unsqueeze(mul(cos(%e), scaling)) ; %sin = unsqueeze(mul(sin(%e), scaling))
///
/// The product may be a `matmul` of the frequencies as a column with the positions as a row, transposed.
struct RotaryAnalysis {
    let editor: GraphEditor
    /// Name of the input with the position of each token.
    static let positionInput = "position_ids"

    /// The table behind `cos` and `sin`, which must have the shape `expected` (a leading 1 for the batch will do).
    /// - Throws: `.unsupported` with the first node that does not fit.
    func table(cos: Value, sin: Value, expected: [Dimension]) throws(ApusError) -> RotaryTable {
        for value in [cos, sin] {
            let shape = editor.type(of: value).shape
            guard shape == expected || shape == [1] + expected.dropFirst() else {
                throw mismatch(value, "has an unexpected shape")
            }
        }
        let (cosAngles, scaling) = try angles(cos, "cos")
        let (sinAngles, sinScaling) = try angles(sin, "sin")
        guard cosAngles == sinAngles, scaling == sinScaling else {
            throw mismatch(sin, "is not of the same angles as the cosines")
        }
        guard let cat = editor.producer(of: cosAngles, "cat"), cat.operands.count == 2, cat.isLast("dim"),
            let half = cat.operand(0), cat.operand(1) == half
        else { throw mismatch(cosAngles, "does not repeat the angles for both halves") }
        return RotaryTable(frequencies: try frequencies(half), scaling: scaling)
    }

    /// The argument of the function behind reshapes and a factor, and that factor.
    private func angles(_ value: Value, _ function: String) throws(ApusError) -> (Value, Double) {
        var value = reshaped(value)
        var scaling = 1.0
        if let product = editor.producer(of: value, "mul"), let a = product.operand(0),
            let b = product.operand(1)
        {
            if let factor = number(b) {
                (value, scaling) = (reshaped(a), factor)
            } else if let factor = number(a) {
                (value, scaling) = (reshaped(b), factor)
            }
        }
        guard let node = editor.producer(of: value, function), let argument = node.operand(0) else {
            throw mismatch(value, "is not a \(function)")
        }
        return (reshaped(argument), scaling)
    }

    /// The frequencies in a product [B, S, R/2] of positions and frequencies.
    private func frequencies(_ value: Value) throws(ApusError) -> [Double] {
        let size = editor.type(of: value).shape.last?.constant
        if let product = editor.producer(of: value, "mul"), let a = product.operand(0),
            let b = product.operand(1)
        {
            for (positions, constant) in [(a, b), (b, a)] {
                guard arePositions(positions, shape: { $0.count == 3 && $0[2] == 1 }) else { continue }
                if let list = numbers(constant, alongLast: true), list.count == size { return list }
            }
        }
        if let transpose = editor.producer(of: value, "transpose"), transpose.transposes(1, 2),
            let inner = transpose.operand(0), let product = editor.producer(of: inner, "matmul"),
            let a = product.operand(0), let b = product.operand(1),
            arePositions(b, shape: { $0.count == 3 && $0[1] == 1 }),
            let list = numbers(a, alongLast: false), list.count == size
        {
            return list
        }
        throw mismatch(value, "is not a product of \(Self.positionInput) and constant frequencies")
    }

    private func arePositions(_ value: Value, shape isFitting: ([Dimension]) -> Bool) -> Bool {
        var source = value
        while let node = editor.producer(of: source) {
            guard ["to", "view", "unsqueeze"].contains(node.op), let next = node.operands[0] else {
                return false
            }
            // A conversion in between must not lose bits of a position.
            guard [.f32, .i64, .i32].contains(editor.type(of: source).element) else { return false }
            source = editor.resolve(next)
        }
        let type = editor.type(of: source)
        let shape = editor.type(of: value).shape
        return editor.graph.name(of: source) == Self.positionInput && type.rank == 2 && isFitting(shape)
            && shape.filter { $0 != 1 } == type.shape.filter { $0 != 1 }
    }

    /// The elements of a constant that has its one long dimension last, or last but one.
    private func numbers(_ value: Value, alongLast: Bool) -> [Double]? {
        var source = editor.resolve(value)
        while let node = editor.producer(of: source, "expand"), let inner = node.operand(0) { source = inner }
        guard let literal = editor.producer(of: source, "constant")?.literal("value"),
            let shape = literal.type.constantShape,
            let count = alongLast ? shape.last : shape.dropLast().last,
            shape.reduce(1, *) == count, alongLast || shape.last == 1
        else { return nil }
        return literal.values.count == count
            ? literal.values : [Double](repeating: literal.values.first ?? 0, count: count)
    }

    private func number(_ value: Value) -> Double? {
        editor.producer(of: value, "constant")?.literal("value")?.splat
    }

    /// The value before dimensions of size 1 were added or removed.
    private func reshaped(_ value: Value) -> Value {
        var value = editor.resolve(value)
        while let node = editor.producer(of: value), node.op == "unsqueeze" || node.op == "view",
            let next = node.operands[0].map(editor.resolve),
            editor.type(of: next).shape.filter({ $0 != 1 })
                == editor.type(of: value).shape.filter({ $0 != 1 })
        {
            value = next
        }
        return value
    }

    private func mismatch(_ value: Value, _ message: String) -> ApusError {
        ApusError(.unsupported, "rotary embedding: \(editor.describe(value)) \(message)")
    }
}

extension GraphEditor {
    /// A value's name, or the op that computes it.
    func shortName(_ value: Value) -> String {
        graph.name(of: resolve(value)).map { "%\($0)" } ?? producer(of: value)?.op ?? "a value"
    }

    /// A value as reports mention it: its name or op, and its type.
    func describe(_ value: Value) -> String {
        let value = resolve(value)
        let name = graph.name(of: value).map { "%\($0)" } ?? "a value"
        let op = producer(of: value).map { " = \($0.op)" } ?? ""
        return "\(name)\(op) : \(type(of: value))"
    }
}
