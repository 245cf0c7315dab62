import ApusGraph
import ApusSupport

/// The symbols of a program under import, and what its integer expressions are as dimensions of the graph.
///
/// Sums and products become polynomials. What is no polynomial (`Mod`, `FloorDiv`, `Max`, `Min`) becomes a symbol
/// with a definition, one for each different function of the same operands.
struct SymbolTable {
    /// The upper bound of a symbol that the exporter left open.
    static let unbounded = 1 << 17
    /// No bound that a program gives is taken beyond this.
    private static let largest = 1 << 48

    /// Free symbols and those with a definition, in the order of first use.
    private(set) var symbols: [Symbol] = []
    private let ranges: [String: (lower: Int?, upper: Int?)]
    /// The graph's names for symbols of the program.
    private var names: [String: String] = [:]
    /// For a symbol of the program that equals another, that one.
    private var equals: [String: String] = [:]

    init(ranges: [String: (lower: Int?, upper: Int?)]) { self.ranges = ranges }

    /// Makes two symbols of the program one; only before either is used.
    mutating func unify(_ a: String, _ b: String) {
        let (a, b) = (representative(a), representative(b))
        if a != b { equals[max(a, b)] = min(a, b) }
    }

    /// Names a symbol of the program; only before it is used.
    mutating func rename(_ symbol: String, to name: String) {
        let root = representative(symbol)
        if names[root] == nil, !names.values.contains(name), ranges[name] == nil { names[root] = name }
    }

    private func representative(_ symbol: String) -> String {
        var current = symbol
        while let next = equals[current] { current = next }
        return current
    }

    /// The dimension of an expression.
    /// - Throws: `.unsupported` for a function that no symbol can be defined by.
    mutating func dimension(_ expression: SizeExpression) throws(ApusError) -> Dimension {
        switch expression {
        case .int(let value): return Dimension(value)
        case .symbol(let symbol): return .symbol(declare(symbol))
        case .call(let function, let list):
            var operands: [Dimension] = []
            for operand in list { operands.append(try dimension(operand)) }
            return try value(function, operands)
        }
    }

    private mutating func declare(_ symbol: String) -> String {
        let root = representative(symbol)
        let name = names[root] ?? root
        if range(of: name) == nil {
            var (lower, upper) = (0, Self.unbounded)
            // The ranges of all symbols that were found equal hold.
            for (other, bounds) in ranges where representative(other) == root {
                lower = max(lower, bounds.lower ?? 0)
                upper = min(upper, bounds.upper ?? upper)
            }
            lower = min(lower, Self.largest)
            symbols.append(Symbol(name, lower...min(max(lower, upper), Self.largest)))
            names[root] = name
        }
        return name
    }

    private mutating func value(_ function: String, _ operands: [Dimension]) throws(ApusError) -> Dimension {
        switch (function, operands.count) {
        case ("Add", 1...): return operands.reduce(0, +)
        case ("Mul", 1...): return operands.reduce(1, *)
        case ("Pow", 2):
            if let exponent = operands[1].constant, (0...8).contains(exponent) {
                return (0..<exponent).reduce(Dimension(1)) { product, _ in product * operands[0] }
            }
        case ("Mod", 2), ("PythonMod", 2): return try remainder(operands[0], operands[1])
        case ("FloorDiv", 2), ("CleanDiv", 2): return try quotient(operands[0], operands[1])
        case ("Max", 1...): return operands.dropFirst().reduce(operands[0]) { larger($0, $1) }
        case ("Min", 1...): return operands.dropFirst().reduce(operands[0]) { smaller($0, $1) }
        default: break
        }
        throw ApusError(
            .unsupported,
            "a size is '\(function)' of \(operands.map(\.description).joined(separator: ", ")), which no symbol can "
                + "be defined by")
    }

    private mutating func quotient(_ a: Dimension, _ b: Dimension) throws(ApusError) -> Dimension {
        if let exact = a.dividedExactly(by: b) { return exact }
        if let x = a.constant, let y = b.constant, y > 0 { return Dimension(x / y - (x % y < 0 ? 1 : 0)) }
        let (x, y) = (bounds(of: a), try positive(b))
        return define(
            "floordiv", .floorDiv(a, b),
            (max(0, x.lowerBound) / y.upperBound)...(max(0, x.upperBound) / y.lowerBound))
    }

    private mutating func remainder(_ a: Dimension, _ b: Dimension) throws(ApusError) -> Dimension {
        if a.dividedExactly(by: b) != nil { return 0 }
        if let x = a.constant, let y = b.constant, y > 0 { return Dimension(x % y < 0 ? x % y + y : x % y) }
        return define("mod", .mod(a, b), 0...(try positive(b).upperBound - 1))
    }

    private func positive(_ b: Dimension) throws(ApusError) -> ClosedRange<Int> {
        let range = bounds(of: b)
        guard range.lowerBound > 0 else {
            throw ApusError(.unsupported, "a size is divided by '\(b)', which may be 0 or less")
        }
        return range
    }

    /// The larger of two dimensions.
    mutating func larger(_ a: Dimension, _ b: Dimension) -> Dimension {
        if isProven(.ge, a, b) == true { return a }
        if isProven(.ge, b, a) == true { return b }
        let (x, y) = (bounds(of: a), bounds(of: b))
        return define(
            "max", .max(a, b), max(0, x.lowerBound, y.lowerBound)...max(0, x.upperBound, y.upperBound))
    }

    /// The smaller of two dimensions.
    mutating func smaller(_ a: Dimension, _ b: Dimension) -> Dimension {
        if isProven(.ge, a, b) == true { return b }
        if isProven(.ge, b, a) == true { return a }
        let (x, y) = (bounds(of: a), bounds(of: b))
        let upper = max(0, min(x.upperBound, y.upperBound))
        return define("min", .min(a, b), min(upper, max(0, min(x.lowerBound, y.lowerBound)))...upper)
    }

    private mutating func define(
        _ name: String, _ definition: Symbol.Definition, _ range: ClosedRange<Int>
    ) -> Dimension {
        if let known = symbols.first(where: { $0.definition == definition }) { return .symbol(known.name) }
        let number = symbols.count { $0.name.hasPrefix(name) }
        symbols.append(Symbol("\(name)\(number)", range, definition))
        return .symbol("\(name)\(number)")
    }

    private func range(of name: String) -> ClosedRange<Int>? { symbols.first { $0.name == name }?.range }

    /// Bounds of a dimension's value.
    func bounds(of dimension: Dimension) -> ClosedRange<Int> {
        dimension.bounds { range(of: $0) ?? 0...Int.max }
    }

    /// Whether a relation holds for all values of the symbols (true), for none (false), or that is not known (nil).
    func isProven(_ relation: SizeRelation, _ a: Dimension, _ b: Dimension) -> Bool? {
        if let answer = relation.isProven(difference: bounds(of: a - b)) { return answer }
        // A side that is a product has tighter bounds alone.
        let (x, y) = (bounds(of: a), bounds(of: b))
        let (low, lowOverflow) = x.lowerBound.subtractingReportingOverflow(y.upperBound)
        let (high, highOverflow) = x.upperBound.subtractingReportingOverflow(y.lowerBound)
        return relation.isProven(difference: (lowOverflow ? .min : low)...(highOverflow ? .max : high))
    }

    /// Whether two dimensions that are written differently have the same value wherever that is tried.
    func agree(_ a: Dimension, _ b: Dimension) -> Bool {
        if a == b { return true }
        for step in [0, 1, 2, 7, 12] {
            var values: [String: Int] = [:]
            for (index, symbol) in symbols.enumerated() {
                values[symbol.name] =
                    symbol.definition.map { $0.evaluate(symbol: { values[$0] }, input: { _ in nil }) }
                    ?? min(symbol.range.upperBound, symbol.range.lowerBound + step * (index + 1))
            }
            guard let x = a.evaluate({ values[$0] }), x == b.evaluate({ values[$0] }) else { return false }
        }
        return true
    }
}

/// A comparison of two sizes.
enum SizeRelation: String, Sendable {
    case eq, ne, lt, le, gt, ge

    /// Whether `a` relates to `b` so, given bounds of `a − b`; nil if these do not tell.
    func isProven(difference bounds: ClosedRange<Int>) -> Bool? {
        let (low, high) = (bounds.lowerBound, bounds.upperBound)
        switch self {
        case .eq: return low == 0 && high == 0 ? true : low > 0 || high < 0 ? false : nil
        case .ne: return SizeRelation.eq.isProven(difference: bounds).map { !$0 }
        case .ge: return low >= 0 ? true : high < 0 ? false : nil
        case .gt: return low > 0 ? true : high <= 0 ? false : nil
        case .le: return high <= 0 ? true : low > 0 ? false : nil
        case .lt: return high < 0 ? true : low >= 0 ? false : nil
        }
    }

    /// The relation that holds where this one does not.
    var negated: SizeRelation {
        switch self {
        case .eq: .ne
        case .ne: .eq
        case .lt: .ge
        case .le: .gt
        case .gt: .le
        case .ge: .lt
        }
    }

    /// The sign that messages write.
    var sign: String {
        switch self {
        case .eq: "="
        case .ne: "≠"
        case .lt: "<"
        case .le: "≤"
        case .gt: ">"
        case .ge: "≥"
        }
    }
}
