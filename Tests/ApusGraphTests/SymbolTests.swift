import ApusGraph
import Testing

@Suite struct SymbolTests {
    static let sample = """
        graph @cached(%x: f32[1, 2, S, 4], %cache: f32[1, 2, C, 4], %start_idx: i64[])
            where S in 1...8, C in 16...16, P = value(%start_idx) in 0...15, m = mod(S, 8) in 0...7, h = floordiv(S + 1, 2) in 0...4, t = max(S, m) in 1...8, u = min(S, 2*m) in 0...8 {
          %0 = slice(%cache) {dim = 2, start = 0, end = P} : f32[1, 2, P, 4]
          %1 = slice(%cache) {dim = 2, start = P + S} : f32[1, 2, C - P - S, 4]
          %2 = cat(%0, %x, %1) {dim = 2} : f32[1, 2, C, 4]
          %3 = slice(%2) {dim = 2, start = -1 + S, end = S} : f32[1, 2, 1, 4]
          return %2, %3
        }

        """

    @Test func definitionsAndSymbolicSlicesSurviveTheTextForm() throws {
        let graph = try Graph(parsing: Self.sample)
        #expect(graph.diagnostics().isEmpty)
        #expect(graph.text() == Self.sample.replacing("start = -1 + S", with: "start = S - 1"))
        #expect(graph.symbols[2].definition == .input("start_idx"))
        #expect(graph.symbols[3].definition == .mod(.symbol("S"), 8))
    }

    @Test(
        arguments: [
            ("P = value(%x) in 0...1", "symbol 'P' is the value of 'x', which is no integer input"),
            ("P = value(%q) in 0...1", "symbol 'P' is the value of 'q', which is no integer input"),
            ("P = mod(Q, 8) in 0...1, Q in 0...1", nil),
            (
                "P = mod(Q, 8) in 0...1, Q = mod(P, 2) in 0...1",
                "symbol 'P' is computed from 'Q', which is not declared before it"
            ),
        ] as [(String, String?)])
    func definitionsMentionWhatIsKnown(symbols: String, message: String?) throws {
        let graph = try Graph(parsing: "graph @f(%x: f32[2]) where \(symbols) { return %x }")
        #expect(graph.diagnostics().map(\.message) == (message.map { [$0] } ?? []))
    }

    @Test func aDefinitionNeedsAFunctionThatIsKnown() {
        let error = #expect(throws: (any Error).self) {
            try Graph(parsing: "graph @f() where P = gcd(S, 2) in 0...1 { return }")
        }
        #expect(error.map { "\($0)" } == "graph:1: expected value, floordiv, mod, max or min, got 'gcd'")
    }

    @Test func valuesFollowFromOtherSymbols() {
        let s = Dimension.symbol("S")
        func value(_ definition: Symbol.Definition, _ size: Int) -> Int? {
            definition.evaluate(symbol: { $0 == "S" ? size : nil }, input: { $0 == "n" ? 7 : nil })
        }
        #expect(value(.mod(s, 8), 19) == 3)
        #expect(value(.mod(s - 20, 8), 19) == 7)
        #expect(value(.floorDiv(s - 20, 8), 19) == -1)
        #expect(value(.floorDiv(s, s - 19), 19) == nil)
        #expect(value(.max(s, 20), 19) == 20)
        #expect(value(.min(s, 20), 19) == 19)
        #expect(value(.input("n"), 19) == 7)
        #expect(value(.input("m"), 19) == nil)
        #expect(value(.max(.symbol("T"), 20), 19) == nil)
    }
}
