extension Dimension {
    /// Bounds of the dimension's value when each symbol stays in the range that `range` gives; not always the
    /// tightest, and `Int.min` or `Int.max` where a bound is beyond what can be counted.
    public func bounds(_ range: (String) -> ClosedRange<Int>) -> ClosedRange<Int> {
        var result = 0...0
        for (monomial, coefficient) in terms {
            let product = monomial.reduce(coefficient...coefficient) { Self.product($0, range($1)) }
            result = Self.sum(result, product)
        }
        // S·(S − m + 8) has tighter bounds than S² − S·m + 8·S, which takes three different S.
        guard terms.count > 1,
            let name = symbols.first(where: { name in terms.keys.allSatisfy { $0.contains(name) } }),
            let quotient = dividedExactly(by: .symbol(name))
        else { return result }
        let factored = Self.product(range(name), quotient.bounds(range))
        let lower = max(result.lowerBound, factored.lowerBound)
        return lower...max(lower, min(result.upperBound, factored.upperBound))
    }

    private static func product(_ a: ClosedRange<Int>, _ b: ClosedRange<Int>) -> ClosedRange<Int> {
        let corners = [
            product(a.lowerBound, b.lowerBound), product(a.lowerBound, b.upperBound),
            product(a.upperBound, b.lowerBound), product(a.upperBound, b.upperBound),
        ]
        return (corners.min() ?? .min)...(corners.max() ?? .max)
    }

    private static func product(_ a: Int, _ b: Int) -> Int {
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? ((a < 0) == (b < 0) ? .max : .min) : product
    }

    private static func sum(_ a: ClosedRange<Int>, _ b: ClosedRange<Int>) -> ClosedRange<Int> {
        let (lower, lowerOverflow) = a.lowerBound.addingReportingOverflow(b.lowerBound)
        let (upper, upperOverflow) = a.upperBound.addingReportingOverflow(b.upperBound)
        // A bound that is beyond counting stays so.
        let isBottomless = lowerOverflow || a.lowerBound == .min || b.lowerBound == .min
        let isEndless = upperOverflow || a.upperBound == .max || b.upperBound == .max
        return (isBottomless ? .min : lower)...(isEndless ? .max : upper)
    }
}
