import ApusGraph

/// What values coordinates and sizes may take.
struct IndexDomain {
    /// For each coordinate, the size of its dimension: it runs from 0 to that size less 1.
    var sizes: [String: Dimension] = [:]
    private let symbols: [String: ClosedRange<Int>]

    /// Coordinates of a score: batch, head, query, key.
    ///
    /// A symbol of a graph cannot have such a name.
    static let batch = "#b", head = "#h", query = "#q", key = "#k"
    /// Prefix of the position of a sequence's first token, which is at least 0.
    static let start = "#start"

    /// The first position in an input of positions.
    static func start(of input: String, batch: String = "") -> Dimension {
        .symbol("\(start)(\(input))[\(batch)]")
    }

    init(_ graph: Graph) {
        symbols = Dictionary(graph.symbols.map { ($0.name, $0.range) }, uniquingKeysWith: { a, _ in a })
    }

    /// The values that a polynomial may have, `Int.min` and `Int.max` where there is no bound.
    func range(of p: Dimension) -> ClosedRange<Int> {
        let upper = upperBound(p) ?? .max
        let lower = upperBound(Dimension(0) - p).map { -$0 } ?? .min
        return lower <= upper ? lower...upper : .min ... .max
    }

    private func upperBound(_ p: Dimension) -> Int? {
        var p = p
        for name in p.symbols {
            guard let size = sizes[name] else { continue }
            let uses = p.sortedTerms.filter { $0.symbols.contains(name) }
            guard uses.count == 1, uses[0].symbols == [name] else { return nil }
            p = p.replacing(name, with: uses[0].coefficient > 0 ? size - 1 : 0)
        }
        var sum = 0
        for term in p.sortedTerms {
            guard let value = upperBound(term) else { return nil }
            let (next, overflow) = sum.addingReportingOverflow(value)
            if overflow { return nil }
            sum = next
        }
        return sum
    }

    private func upperBound(_ term: Dimension.Term) -> Int? {
        var value = term.coefficient
        for name in term.symbols {
            // Sizes and first positions are not negative.
            guard let range = symbols[name] ?? (name.hasPrefix(Self.start) ? 0 ... .max : nil) else {
                return nil
            }
            let bound = term.coefficient > 0 ? range.upperBound : range.lowerBound
            guard bound < .max else { return nil }
            let (next, overflow) = value.multipliedReportingOverflow(by: bound)
            if overflow { return nil }
            value = next
        }
        return value
    }

    /// The formula with every condition decided that the ranges of the coordinates decide.
    ///
    /// A condition on both query and key stays as it is: a window as wide as the sequence is still a window.
    func simplified(_ formula: Formula) -> Formula {
        switch formula {
        case .constant, .unknown: return formula
        case .region(let form, let set):
            guard form.symbols.count(where: { sizes[$0] != nil }) <= 1 else { return formula }
            let domain = IntervalSet(range(of: form))
            if set.isSuperset(of: domain) { return .always }
            if set.intersection(domain).isEmpty { return .never }
            return formula
        case .all(let parts): return .all(of: parts.map(simplified))
        case .some(let parts): return .any(of: parts.map(simplified))
        }
    }
}
