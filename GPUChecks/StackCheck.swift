import Apus
import ApusCUDA
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusSupport

/// Decode steps whose layers one kernel computes against the same steps kernel by kernel.
struct StackCheck {
    /// A model of random weights and how it is compiled.
    struct Case: Sendable, CustomStringConvertible {
        /// `qwen2` has biases, `qwen3` norms of q and k, `llama` neither.
        let family: String
        let hidden, inner, heads, headSize: Int
        var layers = 3
        let precision: ElementType
        let backend: BackendKind
        var cache: CacheKind?

        var description: String {
            "\(family) of \(hidden) and \(inner), \(precision), \(backend)\(cache.map { " \($0.rawValue)" } ?? "")"
        }

        /// How far logits may be apart, of the largest: sums in another order round a few elements of the cache otherwise.
        var tolerance: Double { precision == .f16 ? 2e-3 : 1.5e-2 }

        fileprivate var config: String {
            let name = ["qwen2": "Qwen2", "qwen3": "Qwen3"][family] ?? "Llama"
            return """
                {"architectures": ["\(name)ForCausalLM"], "model_type": "\(family)", "hidden_size": \(hidden),
                 "num_hidden_layers": \(layers), "num_attention_heads": \(heads), "num_key_value_heads": 8,
                 "head_dim": \(headSize), "intermediate_size": \(inner), "vocab_size": 2000, "rms_norm_eps": 1e-6,
                 "rope_theta": 10000, "max_position_embeddings": 4096, "tie_word_embeddings": true,
                 "eos_token_id": 1}
                """
        }
    }

    /// Small and published shapes, each with both types and all ways to keep keys.
    static let cases: [Case] = [ElementType.f16, .bf16].flatMap { precision in
        [
            Case(
                family: "qwen3", hidden: 1024, inner: 3072, heads: 16, headSize: 128, precision: precision,
                backend: .plugin),
            Case(
                family: "llama", hidden: 2048, inner: 8192, heads: 32, headSize: 64, layers: 2,
                precision: precision, backend: .plugin),
            Case(
                family: "qwen2", hidden: 512, inner: 1024, heads: 8, headSize: 128, layers: 5,
                precision: precision,
                backend: .plugin),
            Case(
                family: "qwen3", hidden: 1024, inner: 3072, heads: 16, headSize: 128, precision: precision,
                backend: .iattention, cache: .staticV2),
            Case(
                family: "llama", hidden: 768, inner: 2048, heads: 64, headSize: 64, precision: precision,
                backend: .sdpa, cache: .staticV1),
        ]
    }

    let backend: CUDABackend

    private static let limits = SessionLimits(batch: 1, chunk: 512, capacity: 2304)
    /// Tokens that the cache holds before the first step: on both sides of what blocks, warps and copies share keys by.
    private static let depths = [1, 300, 15, 16, 62, 125, 254, 509, 1022, 2044, 7]
    /// The first step launches kernel by kernel, the second captures a graph, the others replay it.
    private static let steps = 6
    /// Tokens that the GPU decodes by itself.
    private static let loopSteps = 40

    /// The largest difference of logits, of the largest logit.
    func largestError(of test: Case) throws(ApusError) -> Double {
        let (whole, apart) = (try backend.stackingLayers(true), try backend.stackingLayers(false))
        let engine = try engine(test, whole)
        let notes = try whole.launches(of: engine.plan, .standard).flatMap(\.notes)
        guard notes.contains(where: { $0.hasSuffix("decode_stack") }) else {
            throw ApusError(.mismatch, "no kernel computes all layers: \(notes)")
        }
        let sides = [
            try whole.makeExecutor(engine, limits: Self.limits),
            try apart.makeExecutor(engine, limits: Self.limits),
        ]
        var worst = 0.0
        for (round, depth) in Self.depths.enumerated() {
            for side in sides { try fill(side, depth, seed: round) }
            for step in 0..<Self.steps {
                let token = Self.token(depth + step, seed: round)
                var logits: [[Float]] = []
                for side in sides { logits.append(try forward(side, [token], cached: depth + step)) }
                let error = Self.difference(logits[0], logits[1])
                guard error <= test.tolerance else {
                    throw ApusError(
                        .mismatch,
                        "step \(step) behind \(depth) tokens: error \(error), at most \(test.tolerance)")
                }
                worst = max(worst, error)
            }
        }
        if let warning = sides[0].warnings.first { throw ApusError(.mismatch, warning) }
        return max(worst, try loopError(of: test, sides))
    }

    /// The GPU decodes by itself, one kernel behind the other; each token must be the largest logit of the other side.
    private func loopError(of test: Case, _ sides: [any Executor]) throws(ApusError) -> Double {
        let depth = 100
        for side in sides { try fill(side, depth, seed: 77) }
        let request = TokenLoopRequest(
            tokens: [Self.token(depth, seed: 77)], cachedCounts: [Int32(depth)], choices: [.greedy],
            endTokens: [], stepCounts: [Self.loopSteps])
        guard let looping = sides[0] as? any TokenLoopExecutor, looping.canLoop(request) else {
            throw ApusError(.mismatch, "the GPU does not decode by itself")
        }
        var tokens = request.tokens
        try looping.runLoop(request) { chosen throws(ApusError) in
            tokens.append(chosen[0])
            return true
        }
        guard tokens.count == Self.loopSteps + 1 else {
            throw ApusError(.mismatch, "\(tokens.count - 1) tokens, expected \(Self.loopSteps)")
        }
        var worst = 0.0
        for step in 0..<Self.loopSteps {
            let logits = try forward(sides[1], [tokens[step]], cached: depth + step)
            let largest = logits.reduce(0) { max($0, abs($1)) }
            guard let best = logits.max(), logits.indices.contains(Int(tokens[step + 1])) else {
                throw ApusError(.mismatch, "step \(step): token \(tokens[step + 1])")
            }
            let error = Double((best - logits[Int(tokens[step + 1])]) / largest)
            guard error <= 2 * test.tolerance else {
                throw ApusError(
                    .mismatch, "step \(step) of the loop: a token whose logit is \(error) too small")
            }
            worst = max(worst, error)
        }
        return worst
    }

    private func engine(_ test: Case, _ backend: CUDABackend) throws(ApusError) -> Engine {
        let model = try Importer.importConfig(
            try JSON.parse(Array(test.config.utf8), source: "config"), seed: 5, element: test.precision)
        var options = CompileOptions(precision: test.precision, backend: test.backend, cache: test.cache)
        options.carriesKernels = false
        return try Compiler.compile(
            model.graph, weights: model.weights, info: model.info, options: options, plugins: .standard,
            backend: backend)
    }

    private static func token(_ position: Int, seed: Int) -> Int32 {
        Int32((position &* 7919 &+ seed &* 104_729 &+ 13) % 2000)
    }

    /// Puts tokens into the cache of an executor, from its beginning on.
    private func fill(_ executor: any Executor, _ count: Int, seed: Int) throws(ApusError) {
        var done = 0
        while done < count {
            let width = min(count - done, Self.limits.chunk)
            let tokens = (done..<done + width).map { Self.token($0, seed: seed) }
            _ = try forward(executor, tokens, cached: done)
            done += width
        }
    }

    private func forward(
        _ executor: any Executor, _ tokens: [Int32], cached: Int
    ) throws(ApusError) -> [Float] {
        try tokens.withUnsafeBufferPointer { buffer throws(ApusError) in
            try [Int32(tokens.count)].withUnsafeBufferPointer { new throws(ApusError) in
                try [Int32(cached)].withUnsafeBufferPointer { cached throws(ApusError) in
                    Array(
                        try executor.forward(
                            tokens: buffer, batch: 1, width: tokens.count, newCounts: new,
                            cachedCounts: cached))
                }
            }
        }
    }

    /// The largest difference, of the largest number; infinite where one is not finite.
    private static func difference(_ a: [Float], _ b: [Float]) -> Double {
        guard a.count == b.count, (a + b).allSatisfy(\.isFinite) else { return .infinity }
        let largest = b.reduce(0) { max($0, abs($1)) }
        return Double(zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / max(largest, .leastNormalMagnitude))
    }
}
