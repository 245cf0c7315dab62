/// Rotary attention with a cache in plain Swift: what the plugin is checked against, and timed against.
///
/// Unfused, as a model of single ops computes it: rotate q and k, append k and v to the cache, all scores of a query,
/// softmax, weighted sum of v, each over memory of its own. One thread.
struct PlainAttention {
    let shape: AttentionShape
    let table: [Float]
    /// K after RoPE and V, [token][Hkv, D] each.
    private(set) var keys: [[Float]] = []
    private(set) var values: [[Float]] = []

    init(_ shape: AttentionShape, table: [Float]) {
        self.shape = shape
        self.table = table
    }

    /// Adds the tokens of `packed` [S, (Hq+2Hkv)·D] to the cache; returns the output [S, Hq, D].
    mutating func step(_ packed: [Float]) -> [Float] {
        let (heads, size) = (shape.heads, shape.size)
        let width = shape.packedWidth
        let count = packed.count / width
        let first = keys.count
        var queries: [[Float]] = []
        for token in 0..<count {
            let row = Array(packed[token * width..<(token + 1) * width])
            let turned = (0..<heads + shape.kvHeads).flatMap { head in
                rotated(row[head * size..<(head + 1) * size], position: first + token)
            }
            queries.append(Array(turned[..<(heads * size)]))
            keys.append(Array(turned[(heads * size)...]))
            values.append(Array(row[((heads + shape.kvHeads) * size)...]))
        }
        return queries.indices.flatMap { attend(queries[$0], visible: first + $0 + 1) }
    }

    private func rotated(_ x: ArraySlice<Float>, position: Int) -> [Float] {
        let (x, half) = (Array(x), shape.size / 2)
        let row = position * shape.size
        return x.indices.map { i in
            let pair = i % half
            let (cosine, sine) = (table[row + pair], table[row + half + pair])
            return i < half ? x[i] * cosine - x[i + half] * sine : x[i] * cosine + x[i - half] * sine
        }
    }

    /// One token's queries [Hq, D] over the first `visible` keys.
    private func attend(_ query: [Float], visible: Int) -> [Float] {
        let size = shape.size
        var output = [Float](repeating: 0, count: query.count)
        var scores = [Float](repeating: 0, count: visible)
        for head in 0..<shape.heads {
            let at = head / (shape.heads / shape.kvHeads) * size
            for key in 0..<visible {
                keys[key].withUnsafeBufferPointer { row in
                    var sum = Float(0)
                    for i in 0..<size { sum += query[head * size + i] * row[at + i] }
                    scores[key] = sum * shape.scale
                }
            }
            Softmax.apply(&scores)
            for key in 0..<visible {
                let weight = scores[key]
                values[key].withUnsafeBufferPointer { row in
                    for i in 0..<size { output[head * size + i] += weight * row[at + i] }
                }
            }
        }
        return output
    }
}

/// Sizes of the attention that is shown: those of Qwen2.5-0.5B.
struct AttentionShape {
    var heads = 14
    var kvHeads = 2
    var size = 64

    var packedWidth: Int { (heads + 2 * kvHeads) * size }
    var scale: Float { 1 / Float(size).squareRoot() }
}
