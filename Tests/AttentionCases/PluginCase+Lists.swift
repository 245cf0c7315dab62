/// What every run plays: small sizes, each with something of its own.
extension PluginCase {
    /// Prefill and chunked prefill.
    package static let contexts = [
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

    /// One token of each sequence over a cache.
    package static let decodes = [
        PluginCase("ratio 3", 6, 2, 128, .prefill([100]), .decode([1]), .decode([1])),
        PluginCase("ratio 1 of 512", 2, 2, 512, .prefill([30]), .decode([1])),
        PluginCase("ratio 4 over splits", 4, 1, 64, .fill([520]), .decode([1])),
        PluginCase("ratio 5", 10, 2, 32, .prefill([255]), .decode([1]), .decode([1]), .decode([1])),
        PluginCase(
            "ratio 7, unequal lengths", 14, 2, 64, batch: 3, .fill([1, 90, 300]), .decode([1, 1, 1]),
            .decode([1, 0, 1])),
        PluginCase("ratio 8", 8, 1, 128, .prefill([63]), .decode([1]), .decode([1])),
        PluginCase("window 127", 8, 2, 64, window: 127, batch: 2, .fill([300, 20]), .decode([1, 1])),
        PluginCase("window 96 over splits", 4, 1, 32, window: 96, .fill([300]), .decode([1])),
        PluginCase(
            "norm, softcap, partial rotary", 4, 2, 48, rotary: 32, softcap: 2, norm: true, .prefill([40]),
            .decode([1])),
        PluginCase("the first token", 4, 2, 32, .prefill([0]), .decode([1]), .decode([1])),
    ]

    /// Trees of draft tokens under random masks.
    package static let trees = [
        PluginCase("ratio 4", 8, 2, 128, .prefill([60]), .tree(10), .tree(32)),
        PluginCase("60 tokens", 4, 1, 64, .prefill([70]), .tree(60)),
        PluginCase("ratio 8, 64 tokens", 8, 1, 64, .prefill([64]), .tree(64)),
        PluginCase("ratio 7, two blocks", 7, 1, 64, .prefill([33]), .tree(48), .tree(128)),
        PluginCase("ratio 3, after nothing", 3, 1, 64, .prefill([0]), .tree(20)),
        PluginCase("wide heads", 2, 1, 256, .prefill([40]), .tree(10)),
        PluginCase("head of 512", 2, 2, 512, .prefill([16]), .tree(17)),
        PluginCase("window 64", 4, 2, 32, window: 64, .prefill([130]), .tree(40)),
        PluginCase("window shorter than the tree", 4, 2, 32, window: 3, .prefill([9]), .tree(33)),
        PluginCase("scale 0.37, softcap", 4, 2, 32, softcap: 1.5, scale: 0.37, .prefill([20]), .tree(34)),
        PluginCase("padding", 4, 1, 128, .prefill([25]), .tree(7, padding: 5), .tree(40, padding: 30)),
        PluginCase("all padding", 2, 1, 32, .prefill([25]), .tree(4, padding: 4)),
        PluginCase("unequal lengths", 4, 2, 64, batch: 3, .prefill([5, 100, 62]), .tree(12, padding: 3)),
        PluginCase("one token is a tree too", 4, 2, 64, batch: 2, .prefill([5, 300]), .tree(1)),
        PluginCase("one token of padding", 2, 2, 32, batch: 2, .prefill([5, 9]), .tree(1, padding: 1)),
        PluginCase(
            "every phase in turn", 6, 2, 48, rotary: 32, norm: true, tables: true, batch: 2,
            .prefill([30, 4]), .chunk([9, 40], width: 40), .tree(16, padding: 2), .chunk([3, 2], width: 3),
            .tree(1), .tree(70, padding: 6), .chunk([40, 1], width: 44), .tree(33)),
    ]
}
