import ApusGraph
import ApusSupport
import Testing

@Suite struct DimensionTests {
    @Test(arguments: ["0", "-3", "B", "2*B*S + S + 1", "-B + S", "B*S - 4*T - 9223372036854775807", "S*S"])
    func theTextFormReadsBack(text: String) throws {
        #expect(try Dimension(parsing: text).description == text)
    }

    @Test(arguments: ["f32[]", "i64[B, S]", "bf16[1, 2*S + 1, 16]"])
    func typesReadBack(text: String) throws {
        #expect(try TensorType(parsing: text).description == text)
    }

    @Test(arguments: [
        ("", "dimension:1: expected an integer or a symbol, got end of file"),
        ("2*", "dimension:1: expected an integer or a symbol, got end of file"),
        ("B S", "dimension:1: expected the end, got 'S'"),
        ("[1]", "dimension:1: expected an integer or a symbol, got '['"),
    ])
    func whatIsNoDimensionIsAnError(text: String, message: String) {
        let error = #expect(throws: ApusError.self) { try Dimension(parsing: text) }
        #expect(error?.description == message)
    }

    /// Shapes that nothing can hold come from damaged files; arithmetic on them must not end the process.
    @Test func hugeCoefficientsStayInRange() throws {
        let huge = Dimension(.max)
        let least = Dimension(.min)
        #expect(
            huge + 1 == huge && huge * 2 == huge && huge * huge == huge && least * huge == huge - huge - huge)
        #expect(least == Dimension(-.max) && Dimension(0) - least == huge)
        #expect(huge.evaluate { _ in 1 } == nil)
        #expect((huge * .symbol("S")).evaluate { _ in 1 } == nil)
        #expect((Dimension.symbol("S") * 3 - 5).magnitude == 8 && (huge + .symbol("S")).magnitude == .max)
        #expect(TensorType(.f32, [.max, .max]).elementCount == huge)
        #expect(least.dividedExactly(by: -1) == huge)
        #expect(try Dimension(parsing: "9223372036854775807*9223372036854775807*S") == huge * .symbol("S"))
    }
}
