import ApusGraph

/// Prints formulas as reports show them, as in `q - k >= 0 and %attention_mask[b, k] != 0`.
struct FormulaText {
    /// How a tensor is called.
    let name: (Value) -> String

    /// Longer formulas are cut.
    private static let limit = 200

    /// The text of a formula.
    func callAsFunction(_ formula: Formula) -> String {
        let whole = text(formula, isInner: false)
        return whole.count > Self.limit ? whole.prefix(Self.limit) + "…" : whole
    }

    private func text(_ formula: Formula, isInner: Bool) -> String {
        switch formula {
        case .constant(let value): return value ? "always" : "never"
        case .region(let form, let set):
            let condition = set.condition(on: Self.polynomial(form))
            return isInner && set.intervals.count > 1 ? "(\(condition))" : condition
        case .unknown(let condition, let isNegated): return text(condition, isNegated: isNegated)
        case .all(let parts): return parts.map { text($0, isInner: true) }.joined(separator: " and ")
        case .some(let parts):
            let list = parts.map { text($0, isInner: true) }.joined(separator: " or ")
            return isInner ? "(\(list))" : list
        }
    }

    private func text(_ condition: Unknown, isNegated: Bool) -> String {
        let left = text(condition.left)
        guard let right = condition.right.map(text) else { return (isNegated ? "not " : "") + left }
        switch condition.relation {
        case .isTrue: return left
        case .equal: return "\(left) \(isNegated ? "!=" : "=") \(right)"
        case .less: return (isNegated ? "not " : "") + "\(left) < \(right)"
        case .lessOrEqual: return (isNegated ? "not " : "") + "\(left) <= \(right)"
        }
    }

    /// The text of a number.
    func callAsFunction(_ term: Term) -> String { text(term) }

    private func text(_ term: Term) -> String {
        switch term {
        case .integer(let value): Self.polynomial(value)
        case .number(let value): "\(value)"
        case .quotient(let value, let divisor): "floor((\(Self.polynomial(value))) / \(divisor))"
        case .element(let value, let place):
            "\(name(value))[\(place.map(Self.polynomial).joined(separator: ", "))]"
        }
    }

    /// A polynomial with its positive terms first and coordinates by their names.
    static func polynomial(_ p: Dimension) -> String {
        let terms = p.sortedTerms.sorted { ($0.coefficient > 0 ? 0 : 1) < ($1.coefficient > 0 ? 0 : 1) }
        var text = ""
        for term in terms {
            let size = term.coefficient.magnitude
            let factors =
                (size == 1 && !term.symbols.isEmpty ? [] : ["\(size)"]) + term.symbols.map(coordinate)
            let sign = text.isEmpty ? (term.coefficient < 0 ? "-" : "") : term.coefficient < 0 ? " - " : " + "
            text += sign + factors.joined(separator: "*")
        }
        return text.isEmpty ? "0" : text
    }

    private static func coordinate(_ symbol: String) -> String {
        if symbol.hasPrefix(IndexDomain.start) { return "start" }
        return symbol.hasPrefix("#") ? String(symbol.dropFirst()) : symbol
    }
}
