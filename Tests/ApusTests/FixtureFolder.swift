import Apus

/// A folder of `Tests/Fixtures` with what transformers generates from it.
struct FixtureFolder: Sendable {
    /// One prompt.
    struct Case: Sendable {
        let prompt: [Int32]
        /// 16 greedy tokens that ignore end tokens.
        let tokens: [Int32]
        /// What transformers' `generate` yields, up to and with the first end token.
        let tokensWithEnd: [Int32]
    }

    let path: String
    let cases: [Case]

    init(_ name: String) throws {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
        path = root.joined(separator: "/") + "/Fixtures/\(name)"
        let json = try JSON.parse(contentsOfFile: "\(path)/cases.json")
        func ids(_ json: JSON?) -> [Int32] {
            json.map { $0.elements.compactMap { $0.int.map(Int32.init) } } ?? []
        }
        cases =
            json["cases"].map { list in
                list.elements.map {
                    Case(
                        prompt: ids($0["prompt"]), tokens: ids($0["tokens"]),
                        tokensWithEnd: ids($0["tokens_with_eos"]))
                }
            } ?? []
    }

    var prompts: [[Int32]] { cases.map(\.prompt) }
}
