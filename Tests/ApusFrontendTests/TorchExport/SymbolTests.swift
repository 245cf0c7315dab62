import ApusGraph
import ApusSupport
import Testing

@testable import ApusFrontend

@Suite struct SymbolTests {
    private static let s = "Symbol('s70', positive=True, integer=True)"

    private func table() -> SymbolTable {
        var table = SymbolTable(ranges: ["s70": (lower: 1, upper: 96), "s9": (lower: 4, upper: nil)])
        table.rename("s70", to: "S")
        return table
    }

    private func dimension(_ text: String, _ table: inout SymbolTable) throws -> Dimension {
        try table.dimension(try SizeExpression(parsing: text))
    }

    @Test func polynomialsAreRead() throws {
        var table = table()
        let s = Dimension.symbol("S")
        #expect(try dimension("Integer(-3)", &table) == -3)
        #expect(try dimension(Self.s, &table) == s)
        #expect(try dimension("Add(\(Self.s), Integer(1))", &table) == s + 1)
        #expect(try dimension("Mul(Integer(-1), \(Self.s), \(Self.s))", &table) == s * s * -1)
        #expect(try dimension("Pow(\(Self.s), Integer(2))", &table) == s * s)
        #expect(
            try dimension("Add(Symbol('s9', integer=True), Mul(Integer(2), \(Self.s)))", &table) == s * 2
                + .symbol("s9"))
        #expect(table.symbols == [Symbol("S", 1...96), Symbol("s9", 4...SymbolTable.unbounded)])
    }

    @Test func otherFunctionsDefineSymbols() throws {
        var table = table()
        let s = Dimension.symbol("S")
        #expect(try dimension("Mod(\(Self.s), Integer(8))", &table) == .symbol("mod0"))
        #expect(try dimension("Mod(\(Self.s), Integer(8))", &table) == .symbol("mod0"))
        #expect(try dimension("Mod(\(Self.s), Integer(4))", &table) == .symbol("mod1"))
        #expect(try dimension("FloorDiv(\(Self.s), Integer(2))", &table) == .symbol("floordiv0"))
        #expect(try dimension("FloorDiv(Mul(Integer(6), \(Self.s)), Integer(2))", &table) == s * 3)
        #expect(try dimension("Mod(Mul(Integer(8), \(Self.s)), Integer(8))", &table) == 0)
        #expect(try dimension("Mod(Integer(-3), Integer(8))", &table) == 5)
        #expect(try dimension("FloorDiv(Integer(-3), Integer(2))", &table) == -2)
        #expect(try dimension("Max(Integer(1), \(Self.s))", &table) == s)
        #expect(try dimension("Max(Integer(4), \(Self.s))", &table) == .symbol("max0"))
        #expect(
            try dimension("Min(Mul(Integer(16), \(Self.s)), Mul(Integer(32), \(Self.s)))", &table) == s * 16)
        #expect(try dimension("Min(Integer(4), \(Self.s), Integer(200))", &table) == .symbol("min0"))
        let definitions = table.symbols.dropFirst()
        #expect(
            definitions.map(\.definition) == [
                .mod(s, 8), .mod(s, 4), .floorDiv(s, 2), .max(4, s), .min(4, s),
            ])
        #expect(definitions.map(\.range) == [0...7, 0...3, 0...48, 4...96, 1...4])
    }

    @Test func whatNoSymbolCanBeIsRefused() throws {
        var table = table()
        for text in [
            "Rational(1, 2)", "oo", "Pow(Integer(2), \(Self.s))",
            "FloorDiv(Integer(8), Add(\(Self.s), Integer(-1)))", "Piecewise()",
        ] {
            let expression = try SizeExpression(parsing: text)
            let error = #expect(throws: ApusError.self) { _ = try table.dimension(expression) }
            #expect(error?.code == .unsupported, "\(text)")
        }
        for text in [
            "", "Add(", "Add(Integer(1)", "Integer(99999999999999999999)", "Integer('a')", "1 + 1",
            "Symbol('s", ")", "f(,)",
        ] {
            let error = #expect(throws: ApusError.self) { _ = try SizeExpression(parsing: text) }
            #expect(error?.code == .invalidInput, "\(text)")
        }
        let deep = String(repeating: "Add(", count: 100_000)
        #expect(throws: ApusError.self) { _ = try SizeExpression(parsing: deep) }
    }

    /// The assertions that GPU exports leave, over S in 1…96.
    @Test func assertionsAreProvenFromRanges() throws {
        var table = table()
        let rounded = "Add(\(Self.s), Mul(Integer(-1), Mod(\(Self.s), Integer(8))), Integer(8))"
        let product = try dimension("Mul(\(Self.s), Max(Integer(1), \(rounded)))", &table)
        #expect(table.isProven(.gt, product, 1) == true)
        #expect(table.isProven(.ge, try dimension("Mul(\(Self.s), \(rounded))", &table), 2) == true)
        let s = Dimension.symbol("S")
        #expect(table.isProven(.le, s, 96) == true)
        #expect(table.isProven(.lt, s, 1) == false)
        #expect(table.isProven(.gt, s, 1) == nil)
        #expect(table.isProven(.eq, s * 2 - s, s) == true)
        #expect(table.isProven(.ne, s, 97) == true)
    }

    @Test func equalSymbolsBecomeOne() throws {
        var table = SymbolTable(ranges: [
            "s1": (lower: 2, upper: 50), "s2": (lower: 0, upper: 20), "s3": (nil, nil),
        ])
        table.unify("s2", "s1")
        table.unify("s3", "s2")
        table.rename("s3", to: "S")
        for name in ["s1", "s2", "s3"] { #expect(try table.dimension(.symbol(name)) == .symbol("S")) }
        #expect(table.symbols == [Symbol("S", 2...20)])
    }

    @Test func boundsAreThoseOfTheRanges() {
        let range: (String) -> ClosedRange<Int> = { $0 == "m" ? 0...7 : 1...10 }
        let (s, m) = (Dimension.symbol("S"), Dimension.symbol("m"))
        #expect(Dimension(5).bounds(range) == 5...5)
        #expect((s * 2 - m).bounds(range) == -5...20)
        #expect((s * s - s * m + s * 8).bounds(range) == 2...180)
        #expect((s * s * -3).bounds(range) == -300...(-3))
        #expect((s * Int.max.dimension).bounds(range) == Int.max...Int.max)
        #expect((s * Int.max.dimension - s * s).bounds(range).upperBound == .max)
    }
}

extension Int {
    fileprivate var dimension: Dimension { Dimension(self) }
}
