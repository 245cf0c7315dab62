import Testing

/// One token of each sequence over a cache.
@Suite(.serialized) struct DecodeTests {
    static let cases = [
        PluginCase("ratio 3", 6, 2, 128, .prefill([100]), .decode([1]), .decode([1])),
        PluginCase("ratio 1 of 512", 2, 2, 512, .prefill([30]), .decode([1])),
        PluginCase("ratio 4 over splits", 4, 1, 64, .prefill([520]), .decode([1])),
        PluginCase("ratio 5", 10, 2, 32, .prefill([255]), .decode([1]), .decode([1]), .decode([1])),
        PluginCase(
            "ratio 7, unequal lengths", 14, 2, 64, batch: 3, .prefill([1, 90, 300]), .decode([1, 1, 1]),
            .decode([1, 0, 1])),
        PluginCase("ratio 8", 8, 1, 128, .prefill([63]), .decode([1]), .decode([1])),
        PluginCase("window 127", 8, 2, 64, window: 127, batch: 2, .prefill([300, 20]), .decode([1, 1])),
        PluginCase("window 96 over splits", 4, 1, 32, window: 96, .prefill([300]), .decode([1])),
        PluginCase(
            "norm, softcap, partial rotary", 4, 2, 48, rotary: 32, softcap: 2, norm: true, .prefill([40]),
            .decode([1])),
        PluginCase("the first token", 4, 2, 32, .prefill([0]), .decode([1]), .decode([1])),
    ]

    @Test(arguments: cases)
    func agreesWithPlainAttention(c: PluginCase) throws { try play(c) }
}
