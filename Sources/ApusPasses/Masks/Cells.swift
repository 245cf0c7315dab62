import ApusGraph

/// The combinations of all that a formula depends on: for each polynomial the cells between the bounds that the
/// formula compares it with, for each unknown whether it holds.
struct Cells {
    /// What a formula depends on.
    enum Leaf: Hashable {
        case form(Dimension)
        case unknown(Unknown)
    }

    /// One combination: a value of each polynomial, and the unknowns that hold.
    struct Choice: Hashable {
        var cells: [Dimension: Int] = [:]
        var unknowns: Set<Unknown> = []
    }

    private var values: [Dimension: [Int]] = [:]
    private var forms: [Dimension] = []
    private var unknowns: [Unknown] = []

    init(_ formula: Formula, _ domain: IndexDomain) {
        var bounds: [Dimension: Set<Int>] = [:]
        collect(formula, &bounds)
        for form in forms {
            let range = domain.range(of: form)
            var starts = (bounds[form] ?? []).filter(range.contains)
            starts.insert(range.lowerBound)
            values[form] = starts.sorted()
        }
    }

    private mutating func collect(_ formula: Formula, _ bounds: inout [Dimension: Set<Int>]) {
        switch formula {
        case .constant: break
        case .region(let form, let set):
            if bounds[form] == nil { forms.append(form) }
            // A cell starts where an interval starts, and behind its end.
            for interval in set.intervals {
                bounds[form, default: []].insert(interval.lowerBound)
                if interval.upperBound < .max { bounds[form, default: []].insert(interval.upperBound + 1) }
            }
        case .unknown(let condition, _):
            if !unknowns.contains(condition) { unknowns.append(condition) }
        case .all(let parts), .some(let parts): for part in parts { collect(part, &bounds) }
        }
    }

    /// Takes a polynomial out.
    mutating func remove(_ form: Dimension) { forms.removeAll { $0 == form } }

    /// Number of combinations, without one polynomial; `Int.max` if there are too many to count.
    func combinationCount(except form: Dimension) -> Int {
        var count = 1
        let factors =
            forms.filter { $0 != form }.map { values[$0]?.count ?? 1 } + unknowns.map { _ in 2 }
        for factor in factors {
            let (product, overflow) = count.multipliedReportingOverflow(by: factor)
            if overflow { return .max }
            count = product
        }
        return count
    }

    func combinations() -> [Choice] {
        var choices = [Choice()]
        for form in forms {
            choices = choices.flatMap { choice in
                (values[form] ?? []).map { value in
                    var choice = choice
                    choice.cells[form] = value
                    return choice
                }
            }
        }
        for unknown in unknowns {
            choices += choices.map { choice in
                var choice = choice
                choice.unknowns.insert(unknown)
                return choice
            }
        }
        return choices
    }

    /// What the results of the combinations depend on: there are two that differ in it alone and in their result.
    func relevant(_ results: [(Choice, IntervalSet)]) -> [Leaf] {
        let leaves = forms.map(Leaf.form) + unknowns.map(Leaf.unknown)
        return leaves.filter { leaf in
            var seen: [Choice: IntervalSet] = [:]
            return results.contains { choice, set in
                var rest = choice
                switch leaf {
                case .form(let form): rest.cells[form] = nil
                case .unknown(let unknown): rest.unknowns.remove(unknown)
                }
                guard let other = seen[rest] else {
                    seen[rest] = set
                    return false
                }
                return other != set
            }
        }
    }
}
