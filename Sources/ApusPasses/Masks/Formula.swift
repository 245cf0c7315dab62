import ApusGraph

/// What one element of a tensor is, as far as it is known.
indirect enum Term: Hashable {
    /// A polynomial in coordinates, sizes and first positions.
    case integer(Dimension)
    /// A number that is no integer, or too large to be one of these polynomials.
    case number(Double)
    /// ⌊a / n⌋ for n > 0.
    case quotient(Dimension, Int)
    /// An element of a tensor whose contents are not known.
    case element(Value, [Dimension])

    /// The number as an integer if it is one of moderate size.
    init(_ number: Double) {
        self =
            number.rounded() == number && abs(number) <= Term.limit
            ? .integer(Dimension(Int(number))) : .number(number)
    }

    /// Largest coefficient that is computed with: a product of two stays far from overflow.
    static let limit = Double(1 << 31)

    /// The number, if it is constant.
    var constant: Double? {
        switch self {
        case .integer(let value): value.constant.map(Double.init)
        case .number(let value): value
        case .quotient, .element: nil
        }
    }
}

/// A condition on what is not known of a mask: that an element is true, or how two elements compare.
struct Unknown: Hashable {
    enum Relation: String { case isTrue, equal, less, lessOrEqual }
    let relation: Relation
    let left: Term
    /// The other side of a comparison.
    let right: Term?
}

/// When something holds: a boolean combination of conditions on coordinates and on what is not known.
///
/// Built by the functions below, which simplify: negations stand at the leaves, conditions on one polynomial are
/// one set.
indirect enum Formula: Hashable {
    case constant(Bool)
    /// A polynomial without constant term has a value in the set; its coefficients have no common factor and the
    /// last one is positive, so that a condition can be written in one way only.
    case region(Dimension, IntervalSet)
    case unknown(Unknown, isNegated: Bool)
    case all([Formula])
    case some([Formula])

    static let always = Formula.constant(true)
    static let never = Formula.constant(false)

    var negated: Formula {
        switch self {
        case .constant(let value): .constant(!value)
        case .region(let form, let set): .region(form, set.complement)
        case .unknown(let condition, let isNegated): .unknown(condition, isNegated: !isNegated)
        case .all(let parts): .some(parts.map(\.negated))
        case .some(let parts): .all(parts.map(\.negated))
        }
    }

    /// All of the formulas.
    static func all(of formulas: [Formula]) -> Formula {
        join(formulas, neutral: true) { $0.intersection($1) }
    }

    /// At least one of the formulas.
    static func any(of formulas: [Formula]) -> Formula {
        join(formulas, neutral: false) { $0.union($1) }
    }

    private static func join(
        _ formulas: [Formula], neutral: Bool, _ combine: (IntervalSet, IntervalSet) -> IntervalSet
    ) -> Formula {
        var parts: [Formula] = []
        var places: [Dimension: Int] = [:]
        func add(_ formula: Formula) {
            switch formula {
            case .constant(neutral): break
            case .all(let inner) where neutral: inner.forEach(add)
            case .some(let inner) where !neutral: inner.forEach(add)
            case .region(let form, let set):
                if let place = places[form], case .region(_, let other) = parts[place] {
                    parts[place] = .region(form, combine(other, set))
                } else {
                    places[form] = parts.count
                    parts.append(formula)
                }
            default: if !parts.contains(formula) { parts.append(formula) }
            }
        }
        formulas.forEach(add)
        parts = parts.map(\.settled)
        if parts.contains(.constant(!neutral)) || parts.contains(where: { parts.contains($0.negated) }) {
            return .constant(!neutral)
        }
        parts.removeAll { $0 == .constant(neutral) }
        if parts.count <= 1 { return parts.first ?? .constant(neutral) }
        return neutral ? .all(parts) : .some(parts)
    }

    /// A region that is everything or nothing is a constant.
    private var settled: Formula {
        guard case .region(_, let set) = self else { return self }
        return set == .all ? .always : set.isEmpty ? .never : self
    }

    // MARK: Conditions on polynomials

    /// p ≥ 0.
    static func isAtLeastZero(_ p: Dimension) -> Formula {
        guard let (form, factor) = normalized(p) else { return .constant(p.constantTerm >= 0) }
        // factor·form ≥ −c
        let c = p.constantTerm
        return factor > 0
            ? .region(form, IntervalSet(-floorDivide(c, factor) ... .max))
            : .region(form, IntervalSet(.min...floorDivide(c, -factor)))
    }

    /// p = 0.
    static func isZero(_ p: Dimension) -> Formula {
        guard let (form, factor) = normalized(p) else { return .constant(p.constantTerm == 0) }
        guard p.constantTerm % factor == 0 else { return .never }
        let value = -p.constantTerm / factor
        return .region(form, IntervalSet(value...value))
    }

    /// p lies in a set.
    static func lies(_ p: Dimension, in set: IntervalSet) -> Formula {
        any(
            of: set.intervals.map { interval in
                var parts: [Formula] = []
                if interval.lowerBound > .min {
                    parts.append(isAtLeastZero(p - Dimension(interval.lowerBound)))
                }
                if interval.upperBound < .max {
                    parts.append(isAtLeastZero(Dimension(interval.upperBound) - p))
                }
                return all(of: parts)
            })
    }

    /// The polynomial without constant term as factor · form; nil if nothing is left.
    static func normalized(_ p: Dimension) -> (form: Dimension, factor: Int)? {
        let terms = p.sortedTerms.filter { !$0.symbols.isEmpty }
        guard let last = terms.last else { return nil }
        let divisor = terms.reduce(0) { gcd($0, $1.coefficient) } * (last.coefficient < 0 ? -1 : 1)
        let form = terms.reduce(Dimension(0)) { sum, term in
            sum + term.symbols.reduce(Dimension(term.coefficient / divisor)) { $0 * .symbol($1) }
        }
        return (form, divisor)
    }

    private static func gcd(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (abs(a), abs(b))
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }

    private static func floorDivide(_ x: Int, _ y: Int) -> Int { x / y - (x % y < 0 ? 1 : 0) }
}
