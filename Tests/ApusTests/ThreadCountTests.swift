import Apus
import Dispatch
import Testing

/// A model computes the same with any number of threads, and beside other models.
@Suite struct ThreadCountTests {
    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast(3).joined(separator: "/")

    /// What the logits of a prompt, fed in chunks, and of the tokens after it are, to the bit.
    private func bits(
        _ engine: Engine, threads: Int, prompt: [Int32], chunk: Int, tokens: Int
    ) throws -> [[UInt32]] {
        let limits = SessionLimits(batch: 1, chunk: chunk, capacity: prompt.count + tokens)
        let executor = try CPUBackend(threads: threads).makeExecutor(engine, limits: limits)
        var (bits, cached, next) = ([[UInt32]](), 0, Array(prompt.prefix(chunk)))
        while cached < limits.capacity {
            let (new, old) = ([Int32(next.count)], [Int32(cached)])
            let logits = try next.withUnsafeBufferPointer { next throws(ApusError) in
                try new.withUnsafeBufferPointer { new throws(ApusError) in
                    try old.withUnsafeBufferPointer { old throws(ApusError) in
                        try executor.forward(
                            tokens: next, batch: 1, width: next.count, newCounts: new, cachedCounts: old)
                    }
                }
            }
            let isFinite = logits.allSatisfy { $0.isFinite }
            #expect(isFinite)
            bits.append(logits.map(\.bitPattern))
            cached += next.count
            if cached < prompt.count {
                next = Array(prompt[cached..<min(cached + chunk, prompt.count)])
            } else {
                next = [Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)]
            }
        }
        return bits
    }

    private func check(
        _ path: String, _ options: LoadOptions, threads: [Int], length: Int, chunk: Int
    ) throws {
        let model = try LanguageModel(path: path, options: options)
        let engine = try #require(model.engine)
        let prompt = (0..<length).map { Int32(($0 * 37 + 11) % model.info.vocabularySize) }
        let expected = try bits(engine, threads: 1, prompt: prompt, chunk: chunk, tokens: 4)
        for count in threads {
            let same = try bits(engine, threads: count, prompt: prompt, chunk: chunk, tokens: 4) == expected
            #expect(same, "\(count) threads")
        }
    }

    /// Three chunks, the last one short, then decode over two splits of the keys.
    @Test(arguments: [(ElementType.f32, [3, 8]), (.f16, [2, 8]), (.bf16, [2, 3, 5, 8])])
    func demoHasTheSameLogits(precision: ElementType, threads: [Int]) throws {
        try check(
            "\(Self.root)/Models/demo", LoadOptions(precision: precision), threads: threads, length: 264,
            chunk: 130)
    }

    @Test(arguments: ["gptq-int4", "awq-int4", "ct-int8"], [false, true])
    func quantisedHasTheSameLogits(name: String, exact: Bool) throws {
        try check(
            "\(Self.root)/Tests/Fixtures/quantised/\(name)", LoadOptions(exactActivations: exact),
            threads: [2, 3, 5, 8], length: 300, chunk: 170)
    }

    @Test(arguments: [(BackendKind.iattention, CacheKind.staticV2), (.sdpa, .staticV1)])
    func otherBackendsHaveTheSameLogits(backend: BackendKind, cache: CacheKind) throws {
        try check(
            FixtureFolder("qwen2").path, LoadOptions(backend: backend, cache: cache), threads: [2, 3, 8],
            length: 150, chunk: 64)
    }

    @Test func modelsRunBesideEachOther() throws {
        let fixtures = try ["qwen2", "llama3-tied", "gpt2"].map { try FixtureFolder($0) }
        let models = try fixtures.map {
            try LanguageModel(folder: $0.path, options: LoadOptions(precision: .f32, threads: 2))
        }
        // Two callers for each model.
        let tokens = Results(count: 2 * models.count)
        DispatchQueue.concurrentPerform(iterations: tokens.count) { index in
            let results = try? models[index % models.count].generate(
                fixtures[index % models.count].prompts,
                options: GenerationOptions(maxNewTokens: 16, ignoreEnd: true))
            tokens[index] = results?.map(\.tokens)
        }
        for index in 0..<tokens.count {
            #expect(tokens[index] == fixtures[index % models.count].cases.map(\.tokens))
        }
    }

    @Test func modelsComeAndGo() throws {
        let fixture = try FixtureFolder("qwen2")
        for round in 0..<12 {
            let model = try LanguageModel(
                folder: fixture.path, options: LoadOptions(precision: .f32, threads: 1 + round % 4))
            guard round % 3 > 0 else { continue }
            let results = try model.generate(
                fixture.prompts, options: GenerationOptions(maxNewTokens: 2, ignoreEnd: true))
            #expect(results.map(\.tokens) == fixture.cases.map { Array($0.tokens.prefix(2)) })
        }
    }

    @Test(arguments: [0, -3, 1025, Int.max])
    func otherCountsAreRefusedBeforeAnythingIsRead(count: Int) {
        let error = #expect(throws: ApusError.self) {
            try LanguageModel(folder: "no such folder", options: LoadOptions(threads: count))
        }
        #expect(error?.message == "threads: expected 1 to 1024, got \(count)")
    }
}

/// Places that several threads write, each its own.
private final class Results: @unchecked Sendable {
    private let places: UnsafeMutableBufferPointer<[[Int32]]?>

    init(count: Int) {
        places = .allocate(capacity: count)
        places.initialize(repeating: nil)
    }

    deinit {
        places.deinitialize()
        places.deallocate()
    }

    var count: Int { places.count }

    subscript(index: Int) -> [[Int32]]? {
        get { places[index] }
        set { places[index] = newValue }
    }
}
