import Testing

/// Prefill and chunked prefill.
@Suite(.serialized) struct ContextTests {
    static let cases = [
        PluginCase("one token", 2, 1, 8, .prefill([1])),
        PluginCase("ratio 1, wide head", 2, 2, 256, .prefill([40])),
        PluginCase("ratio 3", 6, 2, 64, batch: 2, .prefill([70, 31])),
        PluginCase("ratio 4", 8, 2, 128, .prefill([67])),
        PluginCase("ratio 7", 7, 1, 64, .prefill([130])),
        PluginCase("ratio 16", 16, 1, 32, .prefill([33])),
        PluginCase("ratio 5, odd head", 5, 1, 40, .prefill([65])),
        PluginCase("head of 512", 2, 1, 512, .prefill([20])),
        PluginCase("unequal lengths", 4, 2, 64, batch: 3, .prefill([0, 64, 130])),
        PluginCase("window 63", 4, 4, 32, window: 63, .prefill([150])),
        PluginCase("window 31 in chunks", 4, 2, 32, window: 31, .prefill([40]), .chunk([50], width: 50)),
        PluginCase("window 128", 2, 1, 32, window: 128, batch: 2, .prefill([200, 20])),
        PluginCase("window of 1", 2, 2, 16, window: 1, .prefill([70])),
        PluginCase("softcap and scale", 4, 2, 32, softcap: 0.8, scale: 0.37, .prefill([66])),
        PluginCase("norm of q and k", 6, 3, 64, norm: true, .prefill([34])),
        PluginCase("partial rotary", 6, 2, 128, rotary: 96, .prefill([20]), .chunk([9], width: 12)),
        PluginCase("nothing rotates", 2, 2, 24, rotary: 0, .prefill([20])),
        PluginCase("a table for each sequence", 4, 2, 32, tables: true, batch: 3, .prefill([9, 20, 1])),
        PluginCase(
            "chunks of unequal lengths", 4, 2, 64, batch: 3, .prefill([3, 70, 20]),
            .chunk([30, 1, 0], width: 30), .chunk([2, 40, 64], width: 70)),
    ]

    @Test(arguments: cases)
    func agreesWithPlainAttention(c: PluginCase) throws { try play(c) }
}
