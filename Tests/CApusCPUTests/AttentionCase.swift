import CApusCPU
import TestNumbers
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Shapes and rules of one attention: sequence b has `starts[b]` cached keys and `counts[b]` new queries.
struct AttentionCase: CustomTestStringConvertible {
    var name: String
    var heads: (q: Int, kv: Int)
    var dim: Int
    var counts: [Int]
    var starts: [Int]
    var window = 0
    var softcap: Float = 0
    var causal = true
    var masked = false

    var testDescription: String { name }
}

/// Seeded inputs of a case.
///
/// Cache rows past a length, and queries past a count, are NaN.
struct AttentionData {
    let c: AttentionCase
    let dtype: apus_dtype
    let queries: Int
    let capacity: Int
    let q: [Float]
    var k: Packed
    var v: Packed
    var mask: [Float]
    var out: [Float]

    init(_ c: AttentionCase, _ dtype: apus_dtype) {
        var numbers = Numbers(seed: 11)
        (self.c, self.dtype) = (c, dtype)
        queries = c.counts.max() ?? 0
        let lengths = zip(c.starts, c.counts).map { $0 + $1 }
        capacity = (lengths.max() ?? 0) + 9
        let (queries, capacity) = (queries, capacity)
        let row = c.heads.q * c.dim
        q = (0..<c.counts.count * queries * row).map {
            let x = numbers.unit() * 3
            return $0 / row % queries < c.counts[$0 / row / queries] ? x : .nan
        }
        let cached = (0..<2 * c.counts.count * c.heads.kv * capacity * c.dim).map { i -> Float in
            let x = numbers.unit(), half = c.counts.count * c.heads.kv * capacity * c.dim
            let b = i % half / (c.heads.kv * capacity * c.dim), slot = i / c.dim % capacity
            return slot < lengths[b] ? x : .nan
        }
        k = Packed(heads: Array(cached[..<(cached.count / 2)]), capacity: capacity, dim: c.dim, dtype)
        v = Packed(heads: Array(cached[(cached.count / 2)...]), capacity: capacity, dim: c.dim, dtype)
        mask = (0..<c.counts.count * c.heads.q * queries * capacity).map { _ in
            let x = numbers.unit()
            return x < -0.5 ? -.infinity : x
        }
        out = [Float](repeating: .nan, count: q.count)
    }

    /// The valid rows of an output.
    func valid(_ all: [Float]) -> [Float] {
        let row = c.heads.q * c.dim
        return c.counts.indices.flatMap { all[$0 * queries * row..<($0 * queries + c.counts[$0]) * row] }
    }

    func reference() -> [Double] {
        var result: [Double] = []
        for (b, count) in c.counts.enumerated() {
            let length = c.starts[b] + count
            for t in 0..<count {
                let position = c.starts[b] + t
                for h in 0..<c.heads.q {
                    let at = ((b * queries + t) * c.heads.q + h) * c.dim
                    let head = (b * c.heads.kv + h / (c.heads.q / c.heads.kv)) * capacity
                    var scores: [(key: Int, score: Double)] = []
                    for j in 0..<length where !(c.causal && j > position) {
                        if c.window > 0 && j + c.window <= position { continue }
                        var score = 0.0
                        for i in 0..<c.dim {
                            score += Double(q[at + i]) * Double(k.values[(head + j) * c.dim + i])
                        }
                        score *= 0.25
                        if c.softcap > 0 { score = Double(c.softcap) * tanh(score / Double(c.softcap)) }
                        if c.masked {
                            score += Double(mask[((b * c.heads.q + h) * queries + t) * capacity + j])
                        }
                        if score > -.infinity { scores.append((j, score)) }
                    }
                    let top = scores.map(\.score).max() ?? 0
                    var (sum, row) = (0.0, [Double](repeating: 0, count: c.dim))
                    for (key, score) in scores {
                        let weight = exp(score - top)
                        sum += weight
                        for i in 0..<c.dim { row[i] += weight * Double(v.values[(head + key) * c.dim + i]) }
                    }
                    result += scores.isEmpty ? row : row.map { $0 / sum }
                }
            }
        }
        return result
    }

    /// Runs the queries of every sequence, cut into ranges.
    mutating func run(_ isa: apus_isa, cuts: [Int]) throws {
        let counts = c.counts
        try call(isa) { table, a, scratch in
            for b in counts.indices {
                let edges = [0] + cuts.filter { $0 < counts[b] } + [counts[b]]
                for head in 0..<a.kv_heads {
                    for (first, last) in zip(edges, edges.dropFirst()) {
                        table.attention(&a, b, head, first, last, scratch)
                    }
                }
            }
        }
    }

    /// Runs query 0 of every sequence over ranges of `chunk` keys.
    mutating func decode(_ isa: apus_isa, chunk: Int) throws {
        let (count, ranges) = (c.counts.count, (capacity + chunk - 1) / chunk)
        try call(isa) { table, a, scratch in
            let floats = table.attention_partial_floats(a.q_heads, a.kv_heads, a.head_dim)
            for b in 0..<count {
                for head in 0..<a.kv_heads {
                    var partials = [Float](repeating: .nan, count: floats * ranges)
                    partials.withUnsafeMutableBufferPointer { p in
                        for r in 0..<ranges {
                            let to = p.baseAddress.map { $0 + r * floats }
                            table.attention_decode_partial(
                                &a, b, head, r * chunk, (r + 1) * chunk, to, scratch)
                        }
                    }
                    table.attention_decode_combine(&a, b, head, partials, ranges)
                }
            }
        }
    }

    private mutating func call(
        _ isa: apus_isa, _ body: (apus_kernels, inout apus_attention, UnsafeMutableRawPointer) -> Void
    ) throws {
        let table = try kernels(isa)
        let starts = c.starts.map { Int32($0) }, lengths = zip(c.starts, c.counts).map { Int32($0 + $1) }
        let (c, q, k, v, mask, queries, capacity) = (c, q, k, v, mask, queries, capacity)
        var a = apus_attention()
        a.kv_dtype = dtype
        (a.q_heads, a.kv_heads, a.head_dim) = (c.heads.q, c.heads.kv, c.dim)
        (a.q_token_stride, a.q_batch_stride) = (c.heads.q * c.dim, queries * c.heads.q * c.dim)
        (a.out_token_stride, a.out_batch_stride) = (a.q_token_stride, a.q_batch_stride)
        (a.q_head_stride, a.out_head_stride) = (c.dim, c.dim)
        let scale = dtype == APUS_I8 ? MemoryLayout<Float>.size : 0
        (a.k_row_stride, a.k_head_stride) = (c.dim, capacity * (c.dim + scale))
        a.k_batch_stride = c.heads.kv * a.k_head_stride
        a.kv_scale_offset = capacity * c.dim
        (a.v_row_stride, a.v_head_stride) = (a.k_row_stride, a.k_head_stride)
        a.v_batch_stride = a.k_batch_stride
        (a.causal, a.window, a.scale, a.softcap) = (c.causal ? 1 : 0, c.window, 0.25, c.softcap)
        (a.mask_row_stride, a.mask_head_stride) = (capacity, queries * capacity)
        a.mask_key_stride = 1
        a.mask_batch_stride = c.heads.q * queries * capacity
        out.withUnsafeMutableBufferPointer { out in
            q.withUnsafeBufferPointer { q in
                k.bytes.withUnsafeBytes { k in
                    v.bytes.withUnsafeBytes { v in
                        starts.withUnsafeBufferPointer { starts in
                            lengths.withUnsafeBufferPointer { lengths in
                                withOptional(c.masked ? mask : nil) { mask in
                                    (a.q, a.out) = (q.baseAddress, out.baseAddress)
                                    (a.k, a.v) = (k.baseAddress, v.baseAddress)
                                    (a.start, a.length, a.mask) = (
                                        starts.baseAddress, lengths.baseAddress, mask
                                    )
                                    let bytes = table.attention_scratch_bytes(c.heads.q, c.heads.kv, c.dim)
                                    withScratch(bytes) { body(table, &a, $0) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
