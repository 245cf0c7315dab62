import Testing

@testable import Apus

/// Evaluations against what transformers computes in float64 (`Tests/Fixtures/losses.json`), and their errors.
@Suite struct EvaluationTests {
    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")
    private static let fixtures = root + "/Tests/Fixtures"

    private static func recorded(_ key: String) throws -> JSON {
        try #require(try JSON.parse(contentsOfFile: "\(fixtures)/losses.json")[key])
    }

    private static func load(
        _ name: String, _ backend: BackendKind = .plugin, _ cache: CacheKind? = nil
    ) throws -> LanguageModel {
        try LanguageModel(
            folder: "\(fixtures)/\(name)",
            options: LoadOptions(backend: backend, cache: cache, allLogits: true, threads: 2))
    }

    private static func ids(_ json: JSON) -> [Int32] {
        (json["tokens"]?.elements).map { $0.compactMap { $0.int.map(Int32.init) } } ?? []
    }

    private func check(_ evaluation: Evaluation, _ row: JSON) throws {
        #expect(evaluation.perplexity.scoredTokens == row["scored"]?.int)
        let nats = try #require(row["nats"]?.double)
        #expect(abs(evaluation.perplexity.natsPerToken - nats) < 1e-4)
        let error = try #require(row["standard_error"]?.double)
        #expect(abs(evaluation.perplexity.standardError - error) < 1e-4)
    }

    @Test(arguments: [BackendKind.plugin, .iattention, .sdpa])
    func lossesAreThoseOfTransformers(backend: BackendKind) throws {
        for entry in try Self.recorded("models").elements {
            let model = try Self.load(
                try #require(entry["model"]?.string), backend, backend == .plugin ? nil : .staticV1)
            for row in try #require(entry["rows"]).elements {
                let options = EvaluationOptions(context: row["context"]?.int, stride: row["stride"]?.int)
                try check(try model.evaluate(Self.ids(entry), options: options), row)
            }
        }
    }

    @Test func textOfTheDemoModelHasTransformersTokensAndLoss() throws {
        let demo = try Self.recorded("demo")
        let model = try LanguageModel(
            folder: Self.root + "/Models/demo",
            options: LoadOptions(precision: .f32, allLogits: true, threads: 2))
        let text = Array(try #require(demo["text"]?.string).utf8)
        let evaluation = try model.evaluate(utf8: text, options: EvaluationOptions(context: 64))
        #expect(evaluation.tokenCount == demo["tokens"]?.count)
        try check(evaluation, try #require(demo["rows"]?[0]))
        let bits = evaluation.perplexity.natsPerToken / 0.693_147_18 * Double(evaluation.tokenCount)
        #expect(abs(try #require(evaluation.perplexity.bitsPerByte) - bits / Double(text.count)) < 1e-6)
    }

    @Test func comparisonIsThatOfTransformers() throws {
        let pair = try Self.recorded("comparison")
        let options = EvaluationOptions(context: pair["context"]?.int, stride: pair["stride"]?.int)
        let (first, second) = (
            try Self.load(try #require(pair["model"]?.string)),
            try Self.load(try #require(pair["other"]?.string))
        )
        let evaluation = try first.evaluate(Self.ids(pair), comparedWith: second, options: options)
        let divergence = try #require(evaluation.divergence)
        let other = try #require(evaluation.other)
        for (got, key) in [
            (evaluation.perplexity.natsPerToken, "nats"), (other.natsPerToken, "other_nats"),
            (divergence.mean, "mean"), (divergence.median, "median"),
            (divergence.percentile99, "percentile_99"), (divergence.maximum, "max"),
            (divergence.sameTopShare, "same_top"),
        ] {
            let expected = try #require(pair[key]?.double)
            #expect(abs(got - expected) < 1e-4, "\(key): \(got), transformers \(expected)")
        }
        #expect(
            abs(divergence.natsDifference - other.natsPerToken + evaluation.perplexity.natsPerToken) < 1e-9)

        let same = try #require(
            try first.evaluate(Self.ids(pair), comparedWith: Self.load("llama3-tied"), options: options)
                .divergence)
        #expect(same.maximum == 0 && same.sameTopShare == 1 && same.natsDifference == 0)
    }

    @Test func scoresAreThoseOfSumsInDoublePrecision() {
        // Far apart, equal, beyond the range of an exponential, and no multiple of the vector width.
        let a: [Float] = (0..<1003).map { Float(($0 * 7919) % 1000) / 25 - 20 } + [-.infinity, -500]
        let b: [Float] = (0..<1003).map { Float(($0 * 104_729) % 1000) / 30 - 10 } + [3, -.infinity]
        func logarithms(_ x: [Float]) -> [Double] {
            let top = x.map(Double.init).max() ?? 0
            let sum = x.reduce(0.0) { $0 + Statistics.exponential(Double($1) - top) }
            return x.map { Double($0) - top - Statistics.logarithm(sum) }
        }
        let (p, q) = (logarithms(a), logarithms(b))
        let divergence = zip(p, q).reduce(0.0) { sum, pair in
            let weight = Statistics.exponential(pair.0)
            return weight < 1e-200 ? sum : sum + weight * (pair.0 - pair.1)
        }
        let score = TokenScore(a, b, count: a.count, target: 77)
        #expect(abs(score.nats + p[77]) < 1e-6)
        #expect(abs(score.otherNats + q[77]) < 1e-6)
        #expect(abs(score.divergence - divergence) < 1e-5)
        #expect(!score.isSameTop)
        #expect(TokenScore(a, count: a.count, target: 1003).nats == .infinity)
        #expect(TokenScore([1, .nan], [1, 2], count: 2, target: 0).divergence.isNaN)
    }

    @Test func windowsScoreEveryTokenOnce() throws {
        for (count, context, stride) in [(2, 2, 1), (97, 40, 16), (100, 10, 1), (41, 40, 40), (80, 40, 39)] {
            let windows = try EvaluationOptions(context: context, stride: stride)
                .windows(count, positions: 64)
            let scored = windows.flatMap { Array($0.scored) }
            if stride < context { #expect(scored == Array(1..<count)) }
            #expect(Set(scored).count == scored.count)
            for window in windows {
                #expect(window.tokens.count <= context && window.tokens.upperBound <= count)
                #expect(window.tokens.lowerBound < window.scored.lowerBound)
                #expect(window.scored.upperBound == window.tokens.upperBound)
            }
        }
        let plain = try EvaluationOptions().windows(130, positions: 64)
        #expect(plain.map(\.scored) == [1..<64, 65..<128, 129..<130])
    }

    @Test func wrongRequestsAreRefused() throws {
        let model = try Self.load("llama3-tied")
        func message(_ body: () throws -> Evaluation) -> String {
            do { return "\(try body().tokenCount)" } catch { return "\(error)" }
        }
        #expect(message { try model.evaluate([5]) }.contains("at least 2 tokens, got 1"))
        #expect(message { try model.evaluate([]) }.contains("got 0"))
        #expect(message { try model.evaluate(utf8: [65, 66]) }.contains("has no tokenizer.json"))
        for ids in [[5, 9999], [9999, 5], [5, -1]] as [[Int32]] {
            #expect(message { try model.evaluate(ids) }.contains("outside the vocabulary"))
        }
        for (context, stride) in [(1, nil), (513, nil), (8, 9), (8, 0)] as [(Int, Int?)] {
            let options = EvaluationOptions(context: context, stride: stride)
            #expect(message { try model.evaluate([1, 2, 3], options: options) }.contains(", got "))
        }
        let other = try Self.load("qwen3")
        #expect(
            message { try model.evaluate([1, 2], comparedWith: other) }.contains("263 and 271 tokens"))
        let last = try LanguageModel(folder: "\(Self.fixtures)/llama3-tied")
        #expect(message { try last.evaluate([1, 2]) }.contains("with allLogits"))
        let whole = try Self.load("llama3-tied", .iattention, CacheKind.none)
        #expect(message { try whole.evaluate([1, 2]) }.contains("static_v1"))
    }

    /// A model with logits of all tokens generates as any other: sessions see those of the last one.
    @Test(arguments: [BackendKind.plugin, .iattention], [CacheKind.none, .staticV2])
    func allLogitsDoNotDisturbGeneration(backend: BackendKind, cache: CacheKind) throws {
        let fixture = try FixtureFolder("llama3-tied")
        let model = try Self.load("llama3-tied", backend, backend == .plugin ? nil : cache)
        let results = try model.generate(
            fixture.prompts, options: GenerationOptions(maxNewTokens: 16, ignoreEnd: true))
        #expect(results.map(\.tokens) == fixture.cases.map(\.tokens))
    }
}
