import Apus
import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusSupport
import Testing

/// The engine against transformers, for every family and every form of checkpoint in `Tests/Fixtures`.
@Suite(.serialized) struct ParityTests {
    /// Largest error of a logit over the spread of its row.
    ///
    /// FP32: a wrong gelu, rope or epsilon shows at 1e-4 to 1e-3. FP16 and BF16: the fixtures' logits are FP32
    /// arithmetic on the rounded weights; the engine differs by the KV cache alone, which holds the weights' type
    /// with 11 or 8 significant bits.
    static let tolerance: [String: Float] = ["float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2]

    static let supported = Fixture.all.filter { $0.optional.isEmpty }

    @Test func everyFamilyHasFixtures() {
        #expect(Self.supported.count >= 18)
        #expect(Self.supported.allSatisfy { !$0.cases.isEmpty && Self.tolerance[$0.dtype] != nil })
    }

    @Test(arguments: supported)
    func logitsAndGreedyTokensEqualTransformers(_ fixture: Fixture) throws {
        let backend = try CPUBackend(threads: 2)
        let engine = try compile(fixture, backend)
        // Chunks of 64 make the long prompts take several passes.
        for chunk in [64, 512] {
            let limits = SessionLimits(batch: 1, chunk: chunk, capacity: 256)
            for test in fixture.cases {
                let executor = try backend.makeExecutor(engine, limits: limits)
                var worst: Float = 0
                var cached = 0
                var input = test.prompt
                for (step, expected) in test.logits.enumerated() {
                    let logits = try executor.run(input, cached: &cached, chunk: chunk)
                    worst = max(worst, zip(logits, expected).reduce(0) { max($0, abs($1.0 - $1.1)) })
                    let best = logits.indices.max { logits[$0] < logits[$1] }
                    #expect(best.map(Int32.init) == test.tokens[step], "\(test.name), step \(step)")
                    input = [test.tokens[step]]
                }
                let limit = try #require(Self.tolerance[fixture.dtype])
                #expect(
                    worst / test.spread <= limit, "\(test.name), chunk \(chunk): error \(worst / test.spread)"
                )
            }
        }
    }

    /// Prompts of different lengths in one padded batch give what each gives alone.
    @Test(arguments: supported)
    func aBatchOfUnequalLengthsEqualsItsRows(_ fixture: Fixture) throws {
        let backend = try CPUBackend(threads: 2)
        let engine = try compile(fixture, backend)
        let cases = fixture.cases
        let width = cases.map(\.prompt.count).max() ?? 1
        let limits = SessionLimits(batch: cases.count, chunk: width, capacity: 256)
        let executor = try backend.makeExecutor(engine, limits: limits)
        var cached = [Int32](repeating: 0, count: cases.count)
        var counts = cases.map { Int32($0.prompt.count) }
        var tokens = cases.flatMap { $0.prompt + [Int32](repeating: 0, count: width - $0.prompt.count) }
        for step in 0..<4 {
            let logits = try executor.run(tokens, batch: cases.count, counts, cached)
            for (row, test) in cases.enumerated() {
                let slice = logits[row * executor.vocabularySize..<(row + 1) * executor.vocabularySize]
                let worst = zip(slice, test.logits[step]).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                let limit = try #require(Self.tolerance[fixture.dtype])
                #expect(
                    worst / test.spread <= limit, "\(test.name), step \(step): error \(worst / test.spread)")
                cached[row] += counts[row]
            }
            tokens = cases.map { $0.tokens[step] }
            counts = [Int32](repeating: 1, count: cases.count)
        }
    }

    @Test(arguments: ["llama3-untied-v5", "qwen3", "gpt2"], InstructionSet.available)
    func everyInstructionSetAndThreadCountGivesTheSameTokens(name: String, set: InstructionSet) throws {
        let fixture = try Fixture(name)
        for threads in [1, 2, 3] {
            let backend = try CPUBackend(threads: threads, instructionSet: set)
            let engine = try compile(fixture, backend)
            let test = try #require(fixture.cases.max { $0.prompt.count < $1.prompt.count })
            let limits = SessionLimits(batch: 1, chunk: 512, capacity: 256)
            let executor = try backend.makeExecutor(engine, limits: limits)
            var cached = 0
            var input = test.prompt
            for (step, expected) in test.tokens.enumerated() {
                let logits = try executor.run(input, cached: &cached, chunk: 512)
                let best = logits.indices.max { logits[$0] < logits[$1] }
                #expect(best.map(Int32.init) == expected, "\(threads) threads, step \(step)")
                input = [expected]
            }
        }
    }

    private func compile(_ fixture: Fixture, _ backend: CPUBackend) throws -> Engine {
        let model = try Importer.importCheckpoint(folder: fixture.folder)
        return try Compiler.compile(model.graph, weights: model.weights, info: model.info, backend: backend)
    }
}

extension Executor {
    /// Feeds the tokens of one sequence in chunks and returns the logits of the last.
    func run(_ tokens: [Int32], cached: inout Int, chunk: Int) throws -> [Float] {
        var logits: [Float] = []
        for start in stride(from: 0, to: tokens.count, by: chunk) {
            let part = Array(tokens[start..<min(start + chunk, tokens.count)])
            logits = try run(part, batch: 1, [Int32(part.count)], [Int32(cached)])
            cached += part.count
        }
        return logits
    }

    /// One forward pass with arrays.
    func run(_ tokens: [Int32], batch: Int, _ counts: [Int32], _ cached: [Int32]) throws -> [Float] {
        try tokens.withUnsafeBufferPointer { tokens in
            try counts.withUnsafeBufferPointer { counts in
                try cached.withUnsafeBufferPointer { cached in
                    Array(
                        try forward(
                            tokens: tokens, batch: batch, width: tokens.count / batch, newCounts: counts,
                            cachedCounts: cached))
                }
            }
        }
    }
}
