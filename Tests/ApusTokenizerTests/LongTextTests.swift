import ApusSupport
import Testing

@testable import ApusTokenizer

@Suite struct LongTextTests {
    /// A quadratic merge or scan would take minutes for these, and the suite's time shows it.
    @Test(arguments: ["llama3", "llama2", "o200k"]) func onePieceOfManyBytesIsNotQuadratic(_ name: String)
        throws
    {
        let tokenizer = try Tokenizer(folder: fixture(name))
        for unit in [" ", "a", "\n ", "1", "é", "世"] {
            let text = String(repeating: unit, count: 20_000)
            let ids = try tokenizer.encode(text, addSpecialTokens: false)
            #expect(try tokenizer.decode(ids) == text, "\(name) \(unit.debugDescription)")
        }
    }
}
