/// One dimension of a shape: an integer polynomial over named symbols, such as `256`, `B`, `2*S` or `S + T`.
///
/// Polynomials are kept in a canonical form, so two dimensions that are equal for all values of their symbols
/// and only sums and products compare equal with `==`. A coefficient beyond the range of `Int` stays at its end, so
/// that arithmetic on a shape that nothing can hold is no trap; to evaluate it gives nil.
public struct Dimension: Sendable, Hashable {
    /// A product of symbols, sorted by name; empty for the constant term.
    typealias Monomial = [String]

    /// Coefficients of the monomials; zero coefficients are dropped.
    private(set) var terms: [Monomial: Int]

    /// The constant dimension `value`.
    public init(_ value: Int) { terms = value == 0 ? [:] : [[]: max(value, -Int.max)] }

    /// The dimension that is the symbol `name`.
    public static func symbol(_ name: String) -> Dimension { Dimension(terms: [[name]: 1]) }

    private init(terms: [Monomial: Int]) { self.terms = terms.filter { $0.value != 0 } }

    /// The value, if the dimension mentions no symbol.
    public var constant: Int? {
        if terms.isEmpty { return 0 }
        return terms.count == 1 ? terms[[]] : nil
    }

    /// The names of all symbols the dimension mentions, sorted.
    public var symbols: [String] { Set(terms.keys.joined()).sorted() }

    /// Number of products that the dimension is the sum of.
    public var termCount: Int { terms.count }

    /// The sum of its coefficients' magnitudes: what it can be at most where all symbols are at most 1.
    public var magnitude: Int {
        terms.values.reduce(0) { Self.saturatingSum($0, Int(clamping: $1.magnitude)) }
    }

    /// The products whose sum the dimension is, in the order of the text form.
    public var monomials: [(coefficient: Int, symbols: [String])] {
        terms.sorted { Self.order($0.key, $1.key) }.map { ($0.value, $0.key) }
    }

    /// The dimension's value when each symbol has the value that `environment` gives, or nil if one is unknown.
    public func evaluate(_ environment: (String) -> Int?) -> Int? {
        var sum = 0
        for (monomial, coefficient) in terms {
            var product = coefficient
            if coefficient.magnitude == Int.max.magnitude { return nil }
            for name in monomial {
                guard let value = environment(name) else { return nil }
                let (result, overflow) = product.multipliedReportingOverflow(by: value)
                if overflow { return nil }
                product = result
            }
            let (result, overflow) = sum.addingReportingOverflow(product)
            if overflow { return nil }
            sum = result
        }
        return sum
    }

    /// The quotient, if it is a polynomial with integer coefficients: `6*B*S / 2*B` is `3*S`, `S / 2` is nil.
    public func dividedExactly(by divisor: Dimension) -> Dimension? {
        guard divisor.terms.count == 1, let (monomial, coefficient) = divisor.terms.first else {
            // A sum divides only its own multiples.
            guard !divisor.terms.isEmpty else { return nil }
            for (key, value) in terms {
                guard let (lead, leadCoefficient) = divisor.terms.min(by: { Self.order($0.key, $1.key) }),
                    let rest = Self.remove(lead, from: key), value % leadCoefficient == 0
                else { continue }
                let factor = Dimension(terms: [rest: value / leadCoefficient])
                if factor * divisor == self { return factor }
            }
            return terms.isEmpty ? Dimension(0) : nil
        }
        var quotient: [Monomial: Int] = [:]
        for (key, value) in terms {
            guard value % coefficient == 0, let rest = Self.remove(monomial, from: key) else { return nil }
            quotient[rest] = Self.saturatingSum(quotient[rest] ?? 0, value / coefficient)
        }
        return Dimension(terms: quotient)
    }

    private static func remove(_ part: Monomial, from whole: Monomial) -> Monomial? {
        var rest = whole
        for name in part {
            guard let index = rest.firstIndex(of: name) else { return nil }
            rest.remove(at: index)
        }
        return rest
    }

    private static func order(_ a: Monomial, _ b: Monomial) -> Bool {
        a.count != b.count ? a.count > b.count : a.lexicographicallyPrecedes(b)
    }

    /// The sum of two dimensions.
    public static func + (a: Dimension, b: Dimension) -> Dimension {
        Dimension(terms: a.terms.merging(b.terms, uniquingKeysWith: saturatingSum))
    }

    /// The difference of two dimensions.
    public static func - (a: Dimension, b: Dimension) -> Dimension { a + b * Dimension(-1) }

    /// The product of two dimensions.
    public static func * (a: Dimension, b: Dimension) -> Dimension {
        var product: [Monomial: Int] = [:]
        for (ka, va) in a.terms {
            for (kb, vb) in b.terms {
                let monomial = (ka + kb).sorted()
                product[monomial] = saturatingSum(product[monomial] ?? 0, saturatingProduct(va, vb))
            }
        }
        return Dimension(terms: product)
    }

    private static func saturatingSum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? (a < 0 ? -Int.max : Int.max) : max(sum, -Int.max)
    }

    private static func saturatingProduct(_ a: Int, _ b: Int) -> Int {
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        return overflow ? ((a < 0) == (b < 0) ? Int.max : -Int.max) : max(product, -Int.max)
    }

    /// The product of all dimensions of a shape; 1 for none.
    public static func product(_ shape: some Sequence<Dimension>) -> Dimension {
        shape.reduce(Dimension(1), *)
    }
}

extension Dimension: ExpressibleByIntegerLiteral {
    /// The constant dimension `value`.
    public init(integerLiteral value: Int) { self.init(value) }
}

extension Dimension: CustomStringConvertible {
    /// The text form: highest degree first, then by name, as in `2*B*S + S + 1`.
    public var description: String {
        if terms.isEmpty { return "0" }
        var text = ""
        for (monomial, coefficient) in terms.sorted(by: { Self.order($0.key, $1.key) }) {
            let size = coefficient.magnitude
            let factors = (size == 1 && !monomial.isEmpty ? [] : ["\(size)"]) + monomial
            if text.isEmpty {
                text = (coefficient < 0 ? "-" : "") + factors.joined(separator: "*")
            } else {
                text += (coefficient < 0 ? " - " : " + ") + factors.joined(separator: "*")
            }
        }
        return text
    }
}
