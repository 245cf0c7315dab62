import Apus
import Testing

/// Every backend with every cache it goes with: the tokens of transformers, and of each other bit for bit where the
/// same is computed.
@Suite struct BackendTests {
    private static let families = ["gpt2", "llama2-fp16", "llama3-bf16-sharded", "qwen2", "qwen3"]
    private static let compiled = BackendKind.allCases.filter { $0 != .reference }.flatMap { backend in
        backend.caches.map { Pair(backend: backend, cache: $0) }
    }

    struct Pair: Sendable, CustomTestStringConvertible {
        var backend: BackendKind
        var cache: CacheKind
        var testDescription: String { "\(backend.rawValue)/\(cache.rawValue)" }
    }

    private func options(
        _ pair: Pair, aliased: Bool = true, chunk: Int? = nil, context: Int? = nil
    ) -> LoadOptions {
        LoadOptions(
            backend: pair.backend, cache: pair.cache, aliasKVCache: aliased, threads: 2,
            contextLength: context, chunk: chunk)
    }

    /// Lengths differ in the batch, so that rows of static caches run by themselves.
    @Test(arguments: families, compiled)
    func aBatchOfUnequalPromptsGivesTransformersTokens(name: String, pair: Pair) throws {
        let fixture = try FixtureFolder(name)
        let model = try LanguageModel(folder: fixture.path, options: options(pair))
        let results = try model.generate(
            fixture.prompts, options: GenerationOptions(maxNewTokens: 16, ignoreEnd: true))
        #expect(results.map(\.tokens) == fixture.cases.map(\.tokens))
    }

    @Test(arguments: compiled, [1, 7])
    func chunksGiveTheSameTokens(pair: Pair, chunk: Int) throws {
        let fixture = try FixtureFolder(chunk == 1 ? "gpt2" : "qwen3")
        let model = try LanguageModel(folder: fixture.path, options: options(pair, chunk: chunk))
        let short = fixture.cases.filter { $0.prompt.count < 40 }
        let results = try model.generate(
            short.map(\.prompt), options: GenerationOptions(maxNewTokens: 6, ignoreEnd: true))
        #expect(results.map(\.tokens) == short.map { Array($0.tokens.prefix(6)) })
    }

    /// Rows that agree run in one pass, and give what they give alone.
    @Test(arguments: compiled)
    func equalPromptsRunTogether(pair: Pair) throws {
        let fixture = try FixtureFolder("llama2-fp16")
        let model = try LanguageModel(folder: fixture.path, options: options(pair))
        let test = try #require(fixture.cases.first { $0.prompt.count == 33 })
        let other = test.prompt.map { ($0 + 5) % 200 }
        let options = GenerationOptions(maxNewTokens: 8, ignoreEnd: true)
        let alone = try model.generate([other], options: options)[0].tokens
        let together = try model.generate([test.prompt, other, test.prompt], options: options).map(\.tokens)
        let expected = Array(test.tokens.prefix(8))
        #expect(together == [expected, alone, expected])
    }

    /// Both patterns, in place or copied, compute the very same numbers.
    @Test(arguments: ["gpt2", "llama3-bf16-sharded"], [BackendKind.sdpa, .iattention])
    func staticCachesAreTheSameBitForBit(name: String, backend: BackendKind) throws {
        let fixture = try FixtureFolder(name)
        var expected: [[UInt32]] = []
        for cache in [CacheKind.staticV1, .staticV2] {
            for isAliased in [true, false] {
                let model = try LanguageModel(
                    folder: fixture.path,
                    options: options(Pair(backend: backend, cache: cache), aliased: isAliased, chunk: 16))
                var logits: [[UInt32]] = []
                _ = try model.generate(
                    [fixture.prompts[2], fixture.prompts[1]],
                    options: GenerationOptions(maxNewTokens: 5, ignoreEnd: true)
                ) { token throws(ApusError) in logits.append(token.logits.map(\.bitPattern)) }
                #expect(logits.count == 10)
                if expected.isEmpty { expected = logits }
                #expect(logits == expected, "\(cache), \(isAliased ? "in place" : "copied")")
            }
        }
    }

    @Test func inPlaceUpdatesHoldEachCacheOnce() throws {
        let fixture = try FixtureFolder("qwen2")
        func engine(_ isAliased: Bool) throws -> Engine {
            let pair = Pair(backend: .iattention, cache: .staticV1)
            let model = try LanguageModel(folder: fixture.path, options: options(pair, aliased: isAliased))
            return try #require(model.engine)
        }
        let (aliased, copied) = (try engine(true).plan.staticCaches, try engine(false).plan.staticCaches)
        #expect(!aliased.isEmpty && aliased.count == copied.count)
        #expect(aliased.allSatisfy { $0.isInPlace })
        #expect(copied.allSatisfy { !$0.isInPlace })
    }

    @Test(arguments: [true, false])
    func aStaticCacheMayBeFilledToTheLastRow(isAliased: Bool) throws {
        let fixture = try FixtureFolder("qwen3")
        let model = try LanguageModel(
            folder: fixture.path,
            options: options(Pair(backend: .sdpa, cache: .staticV2), aliased: isAliased))
        let (engine, backend) = (try #require(model.engine), try #require(model.backend))
        let test = fixture.cases[1]
        // The last token is never run: it takes no row.
        let options = GenerationOptions(maxNewTokens: 4, ignoreEnd: true)
        let rows = test.prompt.count + 3
        let results = try engine.generateWithStaticCache(
            [test.prompt], on: backend, options: options, capacity: rows)
        #expect(results[0].tokens == Array(test.tokens.prefix(4)))
        let error = #expect(throws: ApusError.self) {
            try engine.generateWithStaticCache(
                [test.prompt], on: backend, options: options, capacity: rows - 1)
        }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.contains("exceed the context of \(rows - 1) tokens") == true)

        let executor = try backend.makeExecutor(
            engine, limits: SessionLimits(batch: 2, chunk: 3, capacity: 4))
        let full = #expect(throws: ApusError.self) {
            try [Int32](repeating: 1, count: 2).withUnsafeBufferPointer { tokens in
                try [Int32](repeating: 1, count: 2).withUnsafeBufferPointer { new in
                    try [Int32]([3, 4]).withUnsafeBufferPointer { cached in
                        _ = try executor.forward(
                            tokens: tokens, batch: 2, width: 1, newCounts: new, cachedCounts: cached)
                    }
                }
            }
        }
        #expect(
            full?.message
                == "sequence 1: 4 cached and 1 new tokens exceed the static cache of 4 tokens or the row "
                + "of 1; choose a larger context")
    }

    @Test func eachKindOfEngineHasItsFunction() throws {
        let fixture = try FixtureFolder("gpt2")
        let test = fixture.cases[1]
        let generation = GenerationOptions(maxNewTokens: 5, ignoreEnd: true)
        for pair in Self.compiled {
            let model = try LanguageModel(folder: fixture.path, options: options(pair))
            let (engine, backend) = (try #require(model.engine), try #require(model.backend))
            let calls: [(CacheMode, () throws -> [GenerationResult])] = [
                (.recompute, { try engine.generate([test.prompt], on: backend, options: generation) }),
                (
                    .staticCache,
                    { try engine.generateWithStaticCache([test.prompt], on: backend, options: generation) }
                ),
                (.plugin, { try engine.generateWithPlugin([test.prompt], on: backend, options: generation) }),
            ]
            for (mode, call) in calls {
                if mode == engine.cacheMode {
                    let tokens = try call()[0].tokens
                    #expect(tokens == Array(test.tokens.prefix(5)))
                } else {
                    let error = #expect(throws: ApusError.self) { try call() }
                    #expect(error?.code == .mismatch)
                }
            }
        }
    }

    @Test func pairsThatDoNotGoTogetherAreRefused() throws {
        let folder = try FixtureFolder("gpt2").path
        let error = #expect(throws: ApusError.self) {
            try LanguageModel(folder: folder, options: LoadOptions(backend: .reference, cache: .staticV1))
        }
        #expect(
            error?.message.hasPrefix("backend reference does not go with cache static_v1; there are") == true)
    }
}
