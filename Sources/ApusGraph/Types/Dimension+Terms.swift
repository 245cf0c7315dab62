extension Dimension {
    /// One term of the polynomial: a coefficient times a product of symbols; none for the constant term.
    public struct Term: Sendable, Hashable {
        /// The symbols of the product, sorted by name.
        public let symbols: [String]
        /// The coefficient, not 0.
        public let coefficient: Int
    }

    /// The terms, sorted: by number of symbols, then by their names; the constant term first.
    public var sortedTerms: [Term] {
        terms.map { Term(symbols: $0.key, coefficient: $0.value) }.sorted { a, b in
            a.symbols.count != b.symbols.count
                ? a.symbols.count < b.symbols.count : a.symbols.lexicographicallyPrecedes(b.symbols)
        }
    }

    /// The term without a symbol.
    public var constantTerm: Int { terms[[]] ?? 0 }

    /// The dimension with a symbol replaced wherever it occurs.
    public func replacing(_ symbol: String, with value: Dimension) -> Dimension {
        var sum = Dimension(0)
        for (monomial, coefficient) in terms {
            sum =
                sum
                + monomial.reduce(Dimension(coefficient)) { product, name in
                    product * (name == symbol ? value : .symbol(name))
                }
        }
        return sum
    }
}
