import Apus
import Testing

/// The model in the repository: prompts, tokens and text as transformers has them (`Tests/Fixtures/demo`).
@Suite struct DemoTests {
    private struct Case {
        let text: String
        let prompt: [Int32]
        let tokens: [Int32]
        let continuation: String
    }

    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast(3).joined(separator: "/")

    private static func cases() throws -> [Case] {
        let json = try JSON.parse(contentsOfFile: "\(root)/Tests/Fixtures/demo/cases.json")
        func ids(_ json: JSON?) -> [Int32] {
            json.map { $0.elements.compactMap { $0.int.map(Int32.init) } } ?? []
        }
        return json["cases"].map { list in
            list.elements.map {
                Case(
                    text: $0["text"]?.string ?? "", prompt: ids($0["prompt"]), tokens: ids($0["tokens"]),
                    continuation: $0["continuation"]?.string ?? "")
            }
        } ?? []
    }

    @Test func writesWhatTransformersWrites() throws {
        // FP32 weights and cache: the fixture's tokens are FP32 arithmetic on the stored BF16 values.
        let options = LoadOptions(precision: .f32, threads: 2)
        let model = try LanguageModel(folder: "\(Self.root)/Models/demo", options: options)
        let cases = try Self.cases()
        #expect(cases.count == 3)
        for test in cases {
            #expect(try model.tokenizer?.encode(test.text) == test.prompt)
            let result = try model.generate(
                test.text, options: GenerationOptions(maxNewTokens: test.tokens.count, ignoreEnd: true))
            #expect(result.tokens == test.tokens)
            #expect(result.text == test.continuation)
        }
    }
}
