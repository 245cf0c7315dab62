import ApusGraph
import Testing

@Suite struct TextTests {
    static let sample = """
        graph @sample(%input_ids: i64[B, S], %kv: f16[B, 2, 2, C, 8])
            where B in 1...4, S in 1...64, C in 64...64 {
          %model.embed.weight = parameter() {name = "model.embed.weight"} : f16[10, 8]
          %0 = embedding(%model.embed.weight, %input_ids) {widen = true} : f32[B, S, 8]
          %layers.0.x = slice(%0) {dim = 1, start = 1} : f32[B, S - 1, 8]
          %1 = view(%0) {shape = [B*S, 8]} : f32[B*S, 8]
          %2 = constant() {value = dense<[1.0, 1e-06, -inf]> : f32[3]} : f32[3]
          %3 = linear(%1, %model.embed.weight, none) : f32[B*S, 10]
          return %3, %layers.0.x
        }

        """

    @Test func printingWhatWasParsedGivesTheSameText() throws {
        let graph = try Graph(parsing: Self.sample)
        #expect(graph.text() == Self.sample)
        #expect(graph.diagnostics().isEmpty)
    }

    @Test(arguments: [
        ("graph @f(%x: f32[2]) { return %y }", "graph:1: %y is used before it is defined"),
        ("graph @f(%x: q8[2]) { return %x }", "graph:1: expected an element type such as f32, got 'q8'"),
        ("graph @f(%x: f32[2])\n {\n %x = neg(%x) : f32[2]\n return %x }", "graph:3: %x is defined twice"),
        ("graph @f() { return ", "graph:1: expected '}', got end of file"),
        ("graph @f() where S in 4...2 { return }", "graph:1: empty range 4...2 of symbol 'S'"),
        (
            "graph @f() { %a = constant() {value = dense<[1.0> : f32[1]} : f32[1]",
            "graph:1: expected ']', got '>'"
        ),
        ("graph @f() { %a = neg(\"x", "graph:1: a string is not closed"),
    ])
    func malformedTextIsAnErrorWithItsLine(text: String, message: String) {
        let error = #expect(throws: (any Error).self) { try Graph(parsing: text) }
        #expect(error.map { "\($0)" } == message)
    }

    @Test func dimensionsHaveOneCanonicalForm() {
        let s = Dimension.symbol("S")
        let b = Dimension.symbol("B")
        #expect((s + b) * s == s * b + s * s)
        #expect("\(s * b * 2 - 3 + s)" == "2*B*S + S - 3")
        #expect((s * b * 6).dividedExactly(by: b * 2) == s * 3)
        #expect((s + 1).dividedExactly(by: 2) == nil)
        #expect(((s + b) * 4).dividedExactly(by: s + b) == 4)
        #expect((s * b + 1).evaluate { ["S": 3, "B": 5][$0] } == 16)
    }
}
