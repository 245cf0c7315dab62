package import ApusGraph
import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let attentionPlugin: [String: ReferenceFunction] = [
        "attention_plugin": attentionPluginFunction
    ]

    /// The function of the AttentionPlugin.
    package static let attentionPluginFunction: ReferenceFunction = { call throws(ApusError) in
        let plugin = try AttentionPluginReference(call)
        return try plugin.run()
    }
}

/// The attention plugin in plain words: for each new token, norm and turn q and k, write k and v to the cache,
/// then attend to every cached position that the token may see.
private struct AttentionPluginReference {
    private let call: ReferenceCall
    private let heads: Int
    private let kvHeads: Int
    private let size: Int
    private let capacity: Int
    /// S: rows of the input, of which a sequence may use fewer.
    private let steps: Int

    private let phase: AttentionPhase

    init(_ call: ReferenceCall) throws(ApusError) {
        self.call = call
        heads = call.int("num_q_heads")
        kvHeads = call.int("num_kv_heads")
        size = call.int("head_size")
        capacity = call[1].shape[3]
        steps = call[0].shape[1]
        let batch = call[0].shape[0]
        phase = try AttentionPhase(
            batch: batch, tokens: steps, starts: call[4].shape[0], treePositions: nil)
        let tables = call[3].shape[0]
        guard tables == 1 || tables == batch else {
            throw ApusError(.mismatch, "rope_cos_sin: expected 1 or \(batch) tables, got \(tables)")
        }
    }

    func run() throws(ApusError) -> [Tensor] {
        let batch = call[0].shape[0]
        var cache = call[1].floats
        // Rows past a sequence's length stay 0.
        var output = [Float](repeating: 0, count: batch * steps * heads * size)
        for b in 0..<batch {
            let span = try AttentionSpan(
                sequence: b, phase: phase, contextLength: call[2].ints[b],
                start: phase == .prefill ? 0 : call[4].ints[b], tokens: steps, capacity: capacity,
                positions: call[3].shape[2] == 0 ? nil : call[3].shape[1])
            let (first, count) = (span.first, span.count)
            var queries: [[[Float]]] = []
            for t in 0..<count {
                queries.append(try write(b, t, position: first + t, into: &cache))
            }
            for t in 0..<count {
                for head in 0..<heads {
                    let start = ((b * steps + t) * heads + head) * size
                    let row = attend(queries[t][head], b, head, position: first + t, cache)
                    output.replaceSubrange(start..<start + size, with: row)
                }
            }
        }
        return [call.result(output), call.result(cache, 1)]
    }

    /// Writes one token's k and v to the cache and returns its queries, one a head.
    private func write(
        _ b: Int, _ t: Int, position: Int, into cache: inout [Float]
    ) throws(ApusError) -> [[Float]] {
        let width = (heads + 2 * kvHeads) * size
        let row = call[0].floats[(b * steps + t) * width..<(b * steps + t + 1) * width]
        func head(_ index: Int) -> [Float] {
            let start = row.startIndex + index * size
            return Array(row[start..<start + size])
        }
        for h in 0..<kvHeads {
            let key = turned(normed(head(heads + h), call.optional(6)), b, position)
            let value = head(heads + kvHeads + h)
            for (plane, vector) in [key, value].enumerated() {
                let start = cacheStart(b, plane, h) + position * size
                let stored = vector.map { Tensor.round($0, to: call[1].element) }
                cache.replaceSubrange(start..<start + size, with: stored)
            }
        }
        return (0..<heads).map { turned(normed(head($0), call.optional(5)), b, position) }
    }

    private func cacheStart(_ b: Int, _ plane: Int, _ kvHead: Int) -> Int {
        ((b * 2 + plane) * kvHeads + kvHead) * capacity * size
    }

    private func normed(_ x: [Float], _ weight: Tensor?) -> [Float] {
        weight.map { ReferenceFunctions.rmsNorm(x, $0.floats, call.float("qk_norm_eps")) } ?? x
    }

    /// Rotary embedding of one head: pairs (i, i + R/2), dims from R on unchanged.
    private func turned(_ x: [Float], _ b: Int, _ position: Int) -> [Float] {
        let table = call[3]
        let (positions, rotary) = (table.shape[1], table.shape[2])
        let half = rotary / 2
        let start = ((table.shape[0] == 1 ? 0 : b) * positions + position) * rotary
        var y = x
        for i in 0..<half {
            let (cosine, sine) = (table.floats[start + i], table.floats[start + half + i])
            y[i] = x[i] * cosine - x[i + half] * sine
            y[i + half] = x[i + half] * cosine + x[i] * sine
        }
        return y
    }

    private func attend(
        _ query: [Float], _ b: Int, _ head: Int, position: Int, _ cache: [Float]
    ) -> [Float] {
        let window = call.int("sliding_window_size")
        let softcap = call.float("softcap")
        let firstKey = window == 0 ? 0 : max(0, position - window + 1)
        let kvHead = head / (heads / kvHeads)
        let (keys, values) = (cacheStart(b, 0, kvHead), cacheStart(b, 1, kvHead))
        let scores = (firstKey...position).map { key in
            let start = keys + key * size
            let score =
                ReferenceFunctions.dot(query[...], cache[start..<start + size])
                * call.float("attention_scale")
            return softcap > 0 ? softcap * tanh(score / softcap) : score
        }
        return ReferenceFunctions.weightedSum(ReferenceFunctions.softmax(scores), size) { index in
            let start = values + (firstKey + index) * size
            return cache[start..<start + size]
        }
    }
}
