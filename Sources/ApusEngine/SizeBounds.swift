public import ApusGraph

/// The smallest and largest value that each symbol of a plan takes in a session.
public struct SizeBounds: Sendable {
    private var ranges: [String: ClosedRange<Int>] = [:]

    /// Bounds for sessions within `limits`.
    ///
    /// A symbol that is the value of an input counts cached tokens: it does not exceed the capacity.
    public init(_ symbols: [Symbol], limits: SessionLimits) {
        for symbol in symbols {
            guard let definition = symbol.definition else {
                if let most = limits.value(of: symbol.name) {
                    let least = symbol.name == Bindings.capacitySymbol ? most : 0
                    ranges[symbol.name] = least...most
                } else {
                    ranges[symbol.name] = symbol.range
                }
                continue
            }
            guard let found = range(of: definition, within: symbol.range, limits) else { continue }
            let lower = Swift.max(found.lowerBound, symbol.range.lowerBound)
            ranges[symbol.name] =
                lower...Swift.max(lower, Swift.min(found.upperBound, symbol.range.upperBound))
        }
    }

    /// The values that a symbol takes; nil for one that is not known.
    public subscript(symbol: String) -> ClosedRange<Int>? { ranges[symbol] }

    /// The largest value of a dimension; nil if it mentions an unknown symbol or is too large to count.
    public func upperBound(of dimension: Dimension) -> Int? { range(of: dimension)?.upperBound }

    /// The values between which a dimension lies.
    public func range(of dimension: Dimension) -> ClosedRange<Int>? {
        var (lower, upper) = (0, 0)
        for monomial in dimension.monomials {
            guard
                let low = product(monomial, { ranges[$0]?.lowerBound }),
                let high = product(monomial, { ranges[$0]?.upperBound })
            else { return nil }
            let (least, underflow) = lower.addingReportingOverflow(Swift.min(low, high))
            let (most, overflow) = upper.addingReportingOverflow(Swift.max(low, high))
            guard !underflow, !overflow else { return nil }
            (lower, upper) = (least, most)
        }
        return lower...upper
    }

    private func product(
        _ monomial: (coefficient: Int, symbols: [String]), _ value: (String) -> Int?
    ) -> Int? {
        var product = monomial.coefficient
        for symbol in monomial.symbols {
            guard let factor = value(symbol) else { return nil }
            let (result, overflow) = product.multipliedReportingOverflow(by: factor)
            if overflow { return nil }
            product = result
        }
        return product
    }

    private func range(
        of definition: Symbol.Definition, within declared: ClosedRange<Int>, _ limits: SessionLimits
    ) -> ClosedRange<Int>? {
        switch definition {
        case .input:
            return 0...Swift.max(limits.capacity, 0)
        case .floorDiv(let a, let b):
            guard let x = range(of: a), let y = range(of: b), y.upperBound > 0 else { return nil }
            let divisors = [Swift.max(y.lowerBound, 1), y.upperBound]
            let quotients = [x.lowerBound, x.upperBound].flatMap { n in
                divisors.map { n / $0 - (n % $0 < 0 ? 1 : 0) }
            }
            return (quotients.min() ?? 0)...(quotients.max() ?? 0)
        case .mod(_, let b):
            guard let y = range(of: b), y.upperBound > 0 else { return nil }
            return 0...(y.upperBound - 1)
        case .max(let a, let b):
            guard let x = range(of: a), let y = range(of: b) else { return nil }
            return Swift.max(x.lowerBound, y.lowerBound)...Swift.max(x.upperBound, y.upperBound)
        case .min(let a, let b):
            guard let x = range(of: a), let y = range(of: b) else { return nil }
            return Swift.min(x.lowerBound, y.lowerBound)...Swift.min(x.upperBound, y.upperBound)
        }
    }
}
