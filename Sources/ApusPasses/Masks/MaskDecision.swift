import ApusGraph

/// Decides what a mask is from the condition under which a query sees a key.
///
/// The distance of a query to a key is q − k + T − S where queries are the last S of T positions. For every combination
/// of what is not known, the distances that are visible form a set of integers; the mask is of a class only if
/// these sets are exactly those of the class.
struct MaskDecision {
    let maskClass: MaskClass
    /// One line that says why.
    let reason: String

    /// More combinations than any mask needs; beyond them a mask is general.
    private static let combinationLimit = 4096

    private static let causal = IntervalSet(0 ... .max)

    /// `isGiven` tells whether a tensor is an input of the graph, as it is or reshaped and converted.
    init(
        _ visible: Formula, distance: Dimension, _ domain: IndexDomain, _ text: FormulaText,
        isGiven: (Value) -> Bool
    ) {
        var cells = Cells(visible, domain)
        guard let (form, _) = Formula.normalized(distance),
            cells.combinationCount(except: form) <= Self.combinationLimit
        else {
            (maskClass, reason) = (.general, "visible where \(text(visible))")
            return
        }
        cells.remove(form)
        // q has the factor 1, so the form is the distance without its constant part.
        let sets = cells.combinations().map { choice in
            (choice, Self.distances(visible, form, choice).shifted(by: distance.constantTerm))
        }
        let relevant = cells.relevant(sets.map { ($0.0, $0.1) })
        if relevant.isEmpty, let set = sets.first?.1 {
            (maskClass, reason) = Self.pure(set, domain.range(of: distance))
            return
        }
        var maskClass = MaskClass.general
        if relevant.count == 1, case .unknown(let condition) = relevant[0] {
            let held = sets.first { $0.0.unknowns.contains(condition) }?.1
            let failed = sets.first { !$0.0.unknowns.contains(condition) }?.1
            // An integer mask hides where it equals 0.
            let (seen, hidden) = condition.hidesWhenTrue ? (failed, held) : (held, failed)
            if hidden == .empty, seen == Self.causal, condition.isPadding(isGiven) { maskClass = .leftPadded }
            if failed == .empty, held == Self.causal || held == .all, condition.isSameBlock {
                maskClass = .block
            }
        }
        (self.maskClass, reason) = (maskClass, "visible where \(text(visible))")
    }

    /// The class of a mask that only depends on the distance.
    private static func pure(_ set: IntervalSet, _ range: ClosedRange<Int>) -> (MaskClass, String) {
        let text = set.condition(on: "q - k")
        if set == causal { return (.causal, "visible where \(text)") }
        if set.intervals.count == 1, set.intervals[0].lowerBound == 0 {
            return (.slidingWindow(set.intervals[0].upperBound + 1), "visible where \(text)")
        }
        if set == .all { return (.allVisible, "every key is visible") }
        // What lies beyond the distances that occur does not matter.
        let domain = IntervalSet(range)
        let occurring = set.intersection(domain)
        let suffix = ", distances from \(range.lowerBound) to \(range.upperBound)"
        if occurring == causal.intersection(domain), !occurring.isEmpty {
            return (.causal, "visible where \(text)" + suffix)
        }
        if set.isSuperset(of: domain) { return (.allVisible, "every key is visible" + suffix) }
        return (.general, set.isEmpty ? "no key is visible" : "visible where \(text)")
    }

    /// The values of `form` that are visible under a choice of all else.
    private static func distances(_ formula: Formula, _ form: Dimension, _ choice: Cells.Choice)
        -> IntervalSet
    {
        switch formula {
        case .constant(let value): return value ? .all : .empty
        case .region(form, let set): return set
        case .region(let other, let set):
            return choice.cells[other].map(set.contains) == true ? .all : .empty
        case .unknown(let condition, let isNegated):
            return choice.unknowns.contains(condition) != isNegated ? .all : .empty
        case .all(let parts):
            return parts.reduce(.all) { $0.intersection(distances($1, form, choice)) }
        case .some(let parts): return parts.reduce(.empty) { $0.union(distances($1, form, choice)) }
        }
    }
}

extension Unknown {
    /// Whether it says that something is 0.
    var hidesWhenTrue: Bool { relation == .equal && [left, right].contains(.integer(0)) }

    /// Whether it says that an element [batch, key] of an input is true, or is 0.
    func isPadding(_ isGiven: (Value) -> Bool) -> Bool {
        let sides = hidesWhenTrue ? [left, right].filter { $0 != .integer(0) } : [left]
        guard relation == .isTrue || hidesWhenTrue, sides.count == 1,
            case .element(let value, let place)? = sides[0], isGiven(value)
        else { return false }
        let coordinates = place.filter { $0 != 0 }
        return coordinates == [.symbol(IndexDomain.batch), .symbol(IndexDomain.key)]
            || coordinates == [.symbol(IndexDomain.key)]
    }

    /// Whether it says that a query and a key have the same of something that positions have.
    var isSameBlock: Bool {
        guard relation == .equal, let right else { return false }
        let (query, key) = (IndexDomain.query, Dimension.symbol(IndexDomain.key))
        let isOrdered = left.mentions(query)
        let (a, b) = isOrdered ? (left, right) : (right, left)
        return a.mentions(query) && !a.mentions(IndexDomain.key) && a.replacing(query, with: key) == b
    }
}

extension Term {
    func mentions(_ symbol: String) -> Bool {
        switch self {
        case .integer(let p), .quotient(let p, _): p.symbols.contains(symbol)
        case .number: false
        case .element(_, let place): place.contains { $0.symbols.contains(symbol) }
        }
    }

    func replacing(_ symbol: String, with value: Dimension) -> Term {
        switch self {
        case .integer(let p): .integer(p.replacing(symbol, with: value))
        case .quotient(let p, let n): .quotient(p.replacing(symbol, with: value), n)
        case .number: self
        case .element(let tensor, let place):
            .element(tensor, place.map { $0.replacing(symbol, with: value) })
        }
    }
}
