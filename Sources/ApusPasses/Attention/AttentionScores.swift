import ApusGraph
import ApusSupport

/// The scores of an attention as they come to the softmax: scale, softcap and mask around a product of queries and
/// keys.
struct AttentionScores {
    /// [B, H, S, D].
    private(set) var query: Value
    /// Keys as the product takes them, [B, H, D, T].
    private(set) var key: Value
    private(set) var scale = 1.0
    /// Bound of the scores; 0 for none.
    private(set) var softcap = 0.0
    /// What is added to the scores, or which are kept.
    private(set) var mask: Value?

    /// A replacement of scores by a number at or below this leaves nothing of them.
    private static let lowestFP16 = -65504.0

    /// Looks at the operand of a softmax; nil if it is not of this form.
    init?(_ scores: Value, _ m: Match) throws(ApusError) {
        guard m.type(of: scores).rank == 4, let found = try Self.find(scores, m) else { return nil }
        self = found
    }

    private init(query: Value, key: Value) {
        self.query = query
        self.key = key
    }

    private static func find(_ value: Value, _ m: Match) throws(ApusError) -> AttentionScores? {
        if let product = m.producer(of: value, "matmul"), let a = product.operand(0),
            let b = product.operand(1)
        {
            return try product4(a, b, m)
        }
        if let sum = m.producer(of: value, "add"), let a = sum.operand(0), let b = sum.operand(1) {
            for (x, mask) in [(a, b), (b, a)] where m.type(of: x) == m.type(of: value) {
                guard var scores = try find(x, m) else { continue }
                try scores.combine(mask, m)
                return scores
            }
            return nil
        }
        if let choice = m.producer(of: value, "where") { return try replaced(choice, m) }
        return try scaled(value, m)
    }

    /// The product itself, with the factors on queries and keys taken out.
    private static func product4(_ a: Value, _ b: Value, _ m: Match) throws(ApusError) -> AttentionScores? {
        guard m.type(of: a).rank == 4, m.type(of: b).rank == 4 else { return nil }
        var scores = AttentionScores(query: a, key: b)
        while let (x, factor) = m.scaled(scores.query) {
            (scores.query, scores.scale) = (x, scores.scale * factor)
        }
        while let (x, factor) = m.scaled(scores.key) {
            (scores.key, scores.scale) = (x, scores.scale * factor)
        }
        // The factor may have been applied before the keys were transposed.
        if let turn = m.producer(of: scores.key, "transpose"), turn.transposes(2, 3), let k = turn.operand(0),
            let (x, factor) = m.scaled(k)
        {
            scores.key = try m.add("transpose", [x], ["dim0": 2, "dim1": 3])
            scores.scale *= factor
        }
        return scores
    }

    /// Scores times a number, or bounded by a tanh; only in front of the mask.
    private static func scaled(_ value: Value, _ m: Match) throws(ApusError) -> AttentionScores? {
        guard let (x, factor) = m.scaled(value) else { return nil }
        if let bound = m.producer(of: x, "tanh")?.operand(0) {
            guard let (inner, divisor) = m.scaled(bound), abs(divisor * factor - 1) < 1e-6,
                factor > 0, var scores = try find(inner, m), scores.mask == nil, scores.softcap == 0
            else { return nil }
            scores.softcap = factor
            return scores
        }
        guard var scores = try find(x, m), scores.mask == nil, scores.softcap == 0 else { return nil }
        scores.scale *= factor
        return scores
    }

    /// where(visible, scores, lowest) or where(hidden, lowest, scores).
    private static func replaced(_ choice: NodeView, _ m: Match) throws(ApusError) -> AttentionScores? {
        guard var condition = choice.operand(0), let a = choice.operand(1), let b = choice.operand(2) else {
            return nil
        }
        let isHidingFirst = m.splat(a) != nil
        let (x, filler) = isHidingFirst ? (b, a) : (a, b)
        guard let lowest = m.splat(filler), lowest <= lowestFP16, m.type(of: x) == choice.type,
            var scores = try find(x, m)
        else { return nil }
        if isHidingFirst { condition = try m.add("logical_not", [condition]) }
        if lowest > -.infinity {
            let element = m.type(of: x).element
            let zero = try m.constant(TensorLiteral(TensorType(element, [Int]()), [0]))
            let low = try m.constant(TensorLiteral(TensorType(element, [Int]()), [lowest]))
            condition = try m.add("where", [condition, zero, low])
        }
        try scores.combine(condition, m)
        return scores
    }

    /// Adds a mask to those there are: booleans must all hold, numbers add up.
    private mutating func combine(_ new: Value, _ m: Match) throws(ApusError) {
        guard let old = mask else {
            mask = new
            return
        }
        switch (m.type(of: old).element == .bool, m.type(of: new).element == .bool) {
        case (true, true): mask = try m.add("logical_and", [old, new])
        case (false, false): mask = try m.add("add", [old, new])
        case (let isOldBoolean, _):
            let (condition, bias) = isOldBoolean ? (old, new) : (new, old)
            let hidden = try m.constant(
                TensorLiteral(TensorType(m.type(of: bias).element, [Int]()), [-.infinity]))
            mask = try m.add("where", [condition, bias, hidden])
        }
    }
}

extension Match {
    /// The one number that a floating-point constant holds.
    func splat(_ value: Value) -> Double? { editor.splat(value) }

    /// For a product with a number, or a quotient by one: the other operand, if it has the result's type, and the
    /// factor.
    func scaled(_ value: Value) -> (Value, Double)? {
        if let node = producer(of: value, "mul"), let a = node.operand(0), let b = node.operand(1) {
            for (x, number) in [(a, b), (b, a)] where type(of: x) == node.type {
                if let factor = splat(number), factor.isFinite { return (x, factor) }
            }
        }
        if let node = producer(of: value, "div"), let x = node.operand(0), let number = node.operand(1),
            type(of: x) == node.type, let divisor = splat(number), divisor != 0, divisor.isFinite
        {
            return (x, 1 / divisor)
        }
        return nil
    }
}
