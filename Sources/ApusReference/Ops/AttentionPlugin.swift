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
        var tree: (mask: [Int], positions: [Int])?
        if let mask = call.optional(7), let positions = call.optional(8) {
            tree = (mask.shape, positions.shape)
        }
        phase = try AttentionPhase(batch: batch, tokens: steps, starts: call[4].shape[0], tree: tree)
        let tables = call[3].shape[0]
        guard tables == 1 || tables == batch else {
            throw ApusError(.mismatch, "rope_cos_sin: expected 1 or \(batch) tables, got \(tables)")
        }
    }

    func run() throws(ApusError) -> [Tensor] {
        let batch = call[0].shape[0]
        var cache = ReferenceKVCache(call[1], headSize: size)
        // Rows of padding stay 0.
        var output = [Float](repeating: 0, count: batch * steps * heads * size)
        for b in 0..<batch {
            let span = try AttentionSpan(
                sequence: b, phase: phase, contextLength: call[2].ints[b],
                start: phase == .prefill ? 0 : call[4].ints[b], tokens: steps, capacity: capacity,
                positions: rotaryPositions)
            var positions: [Int] = []
            for t in 0..<span.count { positions.append(try position(b, t, span)) }
            let valid = positions.indices.filter { positions[$0] >= 0 }
            var queries: [Int: [[Float]]] = [:]
            for t in valid {
                queries[t] = try write(b, t, slot: span.first + t, position: positions[t], into: &cache)
            }
            for t in valid {
                let visible = visibleSlots(b, t, span, positions)
                for head in 0..<heads {
                    let start = ((b * steps + t) * heads + head) * size
                    let row = attend(queries[t]?[head] ?? [], b, head, visible, cache)
                    output.replaceSubrange(start..<start + size, with: row)
                }
            }
        }
        return [call.result(output), cache.tensor]
    }

    private var rotaryPositions: Int? { call[3].shape[2] == 0 ? nil : call[3].shape[1] }

    /// The position of a new token; −1 is padding of a tree.
    private func position(_ b: Int, _ t: Int, _ span: AttentionSpan) throws(ApusError) -> Int {
        guard phase == .tree else { return span.first + t }
        let position = call[8].ints[b * steps + t]
        try AttentionSpan.check(position: position, of: t, sequence: b, positions: rotaryPositions)
        return position
    }

    /// The cache slots that a new token attends to.
    ///
    /// The window goes by positions: that of a cached token is its slot.
    private func visibleSlots(_ b: Int, _ t: Int, _ span: AttentionSpan, _ positions: [Int]) -> [Int] {
        let window = call.int("sliding_window_size")
        func isNear(_ position: Int) -> Bool { window == 0 || position > positions[t] - window }
        let cached = (0..<span.first).filter(isNear)
        let new = positions.indices.filter { key in
            guard phase == .tree else { return key <= t && isNear(positions[key]) }
            let word = call[7].ints[(b * steps + t) * call[7].shape[2] + key / 32]
            return word >> (key % 32) & 1 == 1 && positions[key] >= 0 && isNear(positions[key])
        }
        return cached + new.map { span.first + $0 }
    }

    /// Writes one token's k and v to the cache and returns its queries, one a head.
    private func write(
        _ b: Int, _ t: Int, slot: Int, position: Int, into cache: inout ReferenceKVCache
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
                cache.write(vector, head: cacheHead(b, plane, h), slot: slot)
            }
        }
        return (0..<heads).map { turned(normed(head($0), call.optional(5)), b, position) }
    }

    private func cacheHead(_ b: Int, _ plane: Int, _ kvHead: Int) -> Int {
        (b * 2 + plane) * kvHeads + kvHead
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
        _ query: [Float], _ b: Int, _ head: Int, _ visible: [Int], _ cache: ReferenceKVCache
    ) -> [Float] {
        guard !visible.isEmpty else { return Array(repeating: 0, count: size) }
        let softcap = call.float("softcap")
        let kvHead = head / (heads / kvHeads)
        let (keys, values) = (cacheHead(b, 0, kvHead), cacheHead(b, 1, kvHead))
        let scores = visible.map { key in
            let score =
                ReferenceFunctions.dot(query[...], cache.row(head: keys, slot: key))
                * call.float("attention_scale")
            return softcap > 0 ? softcap * tanh(score / softcap) : score
        }
        return ReferenceFunctions.weightedSum(ReferenceFunctions.softmax(scores), size) { index in
            cache.row(head: values, slot: visible[index])
        }
    }
}
