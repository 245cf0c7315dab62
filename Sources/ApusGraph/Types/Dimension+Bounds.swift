extension Dimension {
    /// Bounds of the dimension's value when each symbol stays in the range that `range` gives; not always the
    /// tightest, and `Int.min` or `Int.max` where a bound is beyond what can be counted.
    public func bounds(_ range: (String) -> ClosedRange<Int>) -> ClosedRange<Int> {
        var (lower, upper) = (0, 0)
        for (monomial, coefficient) in terms {
            var (low, high) = (coefficient, coefficient)
            for name in monomial {
                let factor = range(name)
                let corners = [
                    Self.product(low, factor.lowerBound), Self.product(low, factor.upperBound),
                    Self.product(high, factor.lowerBound), Self.product(high, factor.upperBound),
                ]
                low = corners.min() ?? low
                high = corners.max() ?? high
            }
            lower = Self.sum(lower, low)
            upper = Self.sum(upper, high)
        }
        return lower...max(lower, upper)
    }

    private static func product(_ a: Int, _ b: Int) -> Int {
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? ((a < 0) == (b < 0) ? .max : .min) : product
    }

    private static func sum(_ a: Int, _ b: Int) -> Int {
        // A bound that is beyond counting stays so.
        if a == .min || b == .min { return .min }
        if a == .max || b == .max { return .max }
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? (a < 0 ? .min : .max) : sum
    }
}
