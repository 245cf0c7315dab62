import ApusGraph
import ApusReference
import TestNumbers
import Testing

@Suite struct AttentionTests {
    @Test func causalAttentionWeighsWhatCameBefore() throws {
        // Equal scores: each query takes the mean of the values it may see; two query heads share one key head.
        let q = f32([1, 2, 2, 1], [0, 0, 0, 0])
        let k = f32([1, 1, 2, 1], [5, 7])
        let v = f32([1, 1, 2, 1], [2, 4])
        let attributes = "is_causal = true, scale = 0.5, enable_gqa = true"
        #expect(
            try apply(
                "scaled_dot_product_attention", [q, k, v], attributes: attributes, shape: [1, 2, 2, 1])
                == [2, 3, 2, 3])
    }

    @Test func masksAddOrHide() throws {
        let q = f32([1, 1, 1, 1], [0])
        let k = f32([1, 1, 2, 1], [.nan, 0])
        let v = f32([1, 1, 2, 1], [.nan, 4])
        let kv2 = f32([1, 1, 2, 1], [0, 4])
        let hidden = Tensor(.bool, [2], ints: [0, 1])
        #expect(
            try apply(
                "scaled_dot_product_attention", [q, k, v, hidden], attributes: "scale = 1.0",
                shape: [1, 1, 1, 1])
                == [4])
        let bias = f32([1, 2], [0, 1.0986123])
        #expect(
            near(
                try apply(
                    "scaled_dot_product_attention", [q, kv2, kv2, bias], attributes: "scale = 1.0",
                    shape: [1, 1, 1, 1]), [3]))
    }
}

/// A small attention plugin whose inputs a test varies.
struct PluginCase {
    var heads = 4
    var kvHeads = 2
    var size = 6
    var rotary = 4
    var window = 0
    var softcap = 0.0
    var hasNorm = false
    var capacity = 8
    var element = ElementType.f32

    var width: Int { (heads + 2 * kvHeads) * size }

    /// Runs the op; returns output [B, S, Hq, D] and cache.
    func run(_ packed: Tensor, cache: Tensor, lengths: [Int], start: [Int]) throws -> (Tensor, Tensor) {
        let table = try apply(
            "rope_table", [f32([rotary / 2], (0..<rotary / 2).map { 1 / Float($0 + 1) })],
            attributes: "positions = \(capacity)", shape: [1, capacity, rotary])
        let norm = hasNorm ? f32([size], Numbers.array(size, seed: 99)) : nil
        let results = try apply(
            "attention_plugin",
            [
                packed, cache, Tensor(.i32, [lengths.count], ints: lengths),
                f32([1, capacity, rotary], table),
                Tensor(.i32, [start.count], ints: start), norm, norm,
            ],
            attributes: "num_q_heads = \(heads), num_kv_heads = \(kvHeads), head_size = \(size), "
                + "attention_scale = 0.7, sliding_window_size = \(window), softcap = \(softcap), "
                + "qk_norm_eps = \(hasNorm ? 1e-6 : 0.0)",
            results: TensorType(.f32, packed.shape.dropLast() + [heads, size]),
            TensorType(element, cache.shape))
        return (results[0], results[1])
    }

    /// A cache whose unwritten rows are NaN: reading one shows.
    func emptyCache(_ batch: Int) -> Tensor {
        let shape = [batch, 2, kvHeads, capacity, size]
        return Tensor(element, shape, floats: Array(repeating: .nan, count: shape.reduce(1, *)))
    }

    func tokens(_ count: Int, seed: UInt64) -> [Float] { Numbers.array(count * width, seed: seed) }
}

@Suite struct AttentionPluginTests {
    static let cases = [
        PluginCase(), PluginCase(window: 3), PluginCase(softcap: 0.8), PluginCase(hasNorm: true),
        PluginCase(rotary: 0), PluginCase(rotary: 6), PluginCase(kvHeads: 4, element: .f16),
    ]

    @Test(arguments: cases.indices)
    func chunksAndSingleTokensGiveWhatOnePrefillGives(index: Int) throws {
        let plugin = Self.cases[index]
        let row = plugin.heads * plugin.size
        let x = plugin.tokens(7, seed: 1)
        func part(_ range: Range<Int>) -> Tensor {
            f32(
                [1, range.count, plugin.width],
                Array(x[range.lowerBound * plugin.width..<range.upperBound * plugin.width]))
        }
        let (whole, _) = try plugin.run(part(0..<7), cache: plugin.emptyCache(1), lengths: [7], start: [])
        let (a, cache1) = try plugin.run(part(0..<3), cache: plugin.emptyCache(1), lengths: [3], start: [])
        let (b, cache2) = try plugin.run(part(3..<5), cache: cache1, lengths: [2], start: [3])
        let (c, cache3) = try plugin.run(part(5..<6), cache: cache2, lengths: [6], start: [5])
        let (d, _) = try plugin.run(part(6..<7), cache: cache3, lengths: [7], start: [6])
        #expect(near(a.floats + b.floats + c.floats + d.floats, whole.floats))
        #expect(whole.floats.count == 7 * row)
    }

    @Test func shorterSequencesOfABatchAreWhatTheyAreAlone() throws {
        let plugin = PluginCase()
        let (x, y) = (plugin.tokens(4, seed: 2), plugin.tokens(4, seed: 3))
        var padded = x
        for index in 2 * plugin.width..<4 * plugin.width { padded[index] = .nan }
        let both = f32([2, 4, plugin.width], padded + y)
        let (output, cache) = try plugin.run(both, cache: plugin.emptyCache(2), lengths: [2, 4], start: [])
        let short = f32([1, 2, plugin.width], Array(x[..<(2 * plugin.width)]))
        let (alone, _) = try plugin.run(short, cache: plugin.emptyCache(1), lengths: [2], start: [])
        #expect(Array(output.floats[..<alone.floats.count]) == alone.floats)
        #expect(output.floats.allSatisfy { !$0.isNaN })
        // Slot 2 of sequence 0 was never written.
        #expect(cache.floats[2 * plugin.size].isNaN)
        let step = f32([2, 1, plugin.width], plugin.tokens(2, seed: 4))
        let (decoded, _) = try plugin.run(step, cache: cache, lengths: [3, 5], start: [2, 4])
        #expect(decoded.floats.allSatisfy { !$0.isNaN })
    }

    @Test func agreesWithScaledDotProductAttentionOfTurnedHeads() throws {
        let text = """
            graph @f(%q: f32[1, 4, 5, 6], %k: f32[1, 2, 5, 6], %v: f32[1, 2, 5, 6], %f: f32[2], %p: f32[5, 1]) {
              %a = mul(%p, %f) : f32[5, 2]
              %b = cat(%a, %a) {dim = -1} : f32[5, 4]
              %c = cos(%b) : f32[5, 4]
              %s = sin(%b) : f32[5, 4]
              %qr = rope(%q, %c, %s) : f32[1, 4, 5, 6]
              %kr = rope(%k, %c, %s) : f32[1, 2, 5, 6]
              %o = scaled_dot_product_attention(%qr, %kr, %v) {is_causal = true, scale = 0.7, enable_gqa = true} : f32[1, 4, 5, 6]
              %t = transpose(%o) {dim0 = 1, dim1 = 2} : f32[1, 5, 4, 6]
              return %t
            }
            """
        let plugin = PluginCase()
        let x = plugin.tokens(5, seed: 5)
        func heads(_ range: Range<Int>) -> Tensor {
            let values = range.flatMap { head in
                (0..<5).flatMap { token in (0..<6).map { x[token * plugin.width + head * 6 + $0] } }
            }
            return f32([1, range.count, 5, 6], values)
        }
        let expected = try evaluate(
            text,
            [
                "q": heads(0..<4), "k": heads(4..<6), "v": heads(6..<8), "f": f32([2], [1, 0.5]),
                "p": f32([5, 1], [0, 1, 2, 3, 4]),
            ])
        let (output, _) = try plugin.run(
            f32([1, 5, plugin.width], x), cache: plugin.emptyCache(1), lengths: [5], start: [])
        #expect(near(output.floats, expected[0].floats))
    }

    @Test func cacheHoldsValuesOfItsType() throws {
        let plugin = PluginCase(element: .bf16)
        let (_, cache) = try plugin.run(
            f32([1, 2, plugin.width], plugin.tokens(2, seed: 6)), cache: plugin.emptyCache(1), lengths: [2],
            start: [])
        #expect(
            cache == Tensor(.bf16, cache.shape, floats: cache.floats) || cache.floats.contains { $0.isNaN })
        #expect(cache.floats.filter { !$0.isNaN }.allSatisfy { $0.bitPattern & 0xFFFF == 0 })
        #expect(cache.floats.filter { !$0.isNaN }.count == 2 * 2 * 2 * 6)
    }

    @Test(arguments: [
        ([9], [], 9, "sequence 0: 9 tokens do not fit a cache of 8"),
        ([3], [], 2, "sequence 0: context length 3 from position 0 does not fit 2 rows"),
        ([2], [7], 2, "sequence 0: 9 tokens do not fit a cache of 8"),
        ([-1], [0], 2, "sequence 0: context length -1 from position 0 does not fit 2 rows"),
        (
            [2], [0], 1,
            "sequence 0: expected context length 0 + 1, which kvcache_start_index and the new tokens make, got 2"
        ),
        ([1], [0, 0], 1, "kvcache_start_index: expected 0 or 1 elements, got 2"),
    ])
    func lengthsThatDoNotFitAreErrors(lengths: [Int], start: [Int], steps: Int, message: String) throws {
        let plugin = PluginCase()
        let error = #expect(throws: (any Error).self) {
            try plugin.run(
                f32([1, steps, plugin.width], plugin.tokens(steps, seed: 7)), cache: plugin.emptyCache(1),
                lengths: lengths, start: start)
        }
        #expect(error.map { "\($0)" } == "%y0 = attention_plugin: \(message)")
    }
}
