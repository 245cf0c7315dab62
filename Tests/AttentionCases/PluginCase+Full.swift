/// The sizes that models have, as others test their kernels of the same contract.
extension PluginCase {
    private static func context(_ batch: Int, _ tokens: Int, _ q: Int, _ kv: Int, _ dim: Int, window: Int = 0)
        -> PluginCase
    {
        PluginCase(
            "context \(batch), \(tokens), \(q)/\(kv)/\(dim), window \(window)", q, kv, dim, window: window,
            batch: batch, .prefill(Array(repeating: tokens, count: batch)))
    }

    private static func decode(_ batch: Int, _ q: Int, _ kv: Int, _ dim: Int, _ cached: Int, window: Int = 0)
        -> PluginCase
    {
        let ones = Array(repeating: 1, count: batch)
        return PluginCase(
            "decode \(batch), \(q)/\(kv)/\(dim) after \(cached), window \(window)", q, kv, dim,
            window: window, batch: batch, .fill(Array(repeating: cached - 1, count: batch)),
            .decode(ones), .decode(ones))
    }

    private static func tree(
        _ q: Int, _ kv: Int, _ dim: Int, _ cached: Int, _ size: Int, window: Int = 0, scale: Double? = nil
    ) -> PluginCase {
        PluginCase(
            "tree \(q)/\(kv)/\(dim) after \(cached), \(size), window \(window)", q, kv, dim, window: window,
            scale: scale, .fill([cached - size]), .tree(size))
    }

    /// Prompts.
    package static let fullContexts = [
        context(1, 512, 8, 8, 128), context(2, 256, 16, 16, 64), context(4, 512, 4, 4, 128),
        context(1, 512, 4, 4, 256), context(1, 64, 4, 4, 256), context(1, 512, 24, 8, 64),
        context(4, 512, 12, 4, 128), context(1, 132, 32, 8, 64), context(2, 260, 32, 8, 128),
        context(4, 520, 16, 4, 128), context(1, 784, 28, 4, 64), context(2, 512, 14, 2, 128),
        context(1, 128, 32, 4, 64), context(1, 1024, 4, 2, 64), context(1, 2048, 2, 1, 64),
        context(1, 512, 8, 2, 64, window: 63), context(1, 512, 8, 2, 64, window: 31),
        context(2, 512, 8, 2, 128, window: 128),
        PluginCase("lengths 0, 64, 160", 8, 2, 128, batch: 3, .prefill([0, 64, 160])),
    ]

    /// Two tokens of each sequence, one after the other.
    package static let fullDecodes = [
        decode(1, 24, 8, 128, 1024), decode(2, 24, 8, 128, 512), decode(4, 24, 8, 128, 256),
        decode(1, 32, 8, 128, 1024), decode(1, 32, 8, 64, 2048), decode(4, 16, 4, 64, 512),
        decode(1, 8, 2, 256, 1024), decode(1, 40, 8, 128, 256), decode(1, 28, 4, 128, 1024),
        decode(4, 14, 2, 64, 512), decode(1, 32, 4, 128, 1024), decode(1, 8, 2, 512, 256),
        decode(3, 32, 4, 128, 512, window: 127), decode(2, 32, 8, 64, 384, window: 96),
    ]

    /// Trees of draft tokens.
    package static let fullTrees = [
        tree(32, 8, 128, 512, 10), tree(32, 8, 128, 256, 32), tree(32, 8, 128, 320, 60),
        tree(32, 4, 128, 256, 48), tree(32, 4, 128, 128, 64), tree(24, 3, 128, 192, 60),
        tree(24, 3, 128, 512, 20), tree(14, 2, 64, 256, 48), tree(14, 2, 64, 128, 64),
        tree(14, 2, 64, 192, 60), tree(14, 2, 64, 512, 20), tree(16, 4, 256, 512, 10),
        tree(24, 4, 256, 256, 32, scale: 0.37), tree(8, 1, 512, 64, 16, scale: 1), tree(8, 1, 512, 64, 64),
        tree(16, 4, 128, 320, 40, window: 64), tree(16, 4, 128, 512, 40, window: 192),
    ]

    /// Trees and a chunk in turn, with a rotary table for each sequence.
    package static let fullCaches = [
        (32, 8, 128, 128), (24, 3, 128, 128), (28, 7, 128, 128), (16, 4, 64, 64), (24, 8, 128, 96),
    ]
    .map { q, kv, dim, rotary -> PluginCase in
        var c = PluginCase(
            "cache \(q)/\(kv)/\(dim), rotary \(rotary)", q, kv, dim, rotary: rotary, tables: true, batch: 2,
            .fill([512, 300]), .tree(4), .tree(32), .chunk([64, 50], width: 64), .tree(50, padding: 7))
        c.rowLimit = 8
        return c
    }
}
