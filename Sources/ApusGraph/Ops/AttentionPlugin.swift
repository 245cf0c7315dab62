/// The rows of a KV cache of the attention plugin.
public enum AttentionCacheRows {
    /// Elements that a cache has for each head and token, so that its shape is [B, 2, Hkv, capacity, size].
    ///
    /// D in a floating-point cache; D + 4 in an `i8` one, where each head holds capacity · D codes and behind them
    /// capacity scales, one f32 a token.
    public static func size(_ element: ElementType, headSize: Int) -> Int {
        element == .i8 ? headSize + 4 : headSize
    }
}

extension OpSpec {
    package static let attentionPlugin = OpSpec(
        "attention_plugin", .engine,
        "RoPE, KV cache write and causal attention in one op. packed_qkv [B, S, (Hq+2Hkv)·D], kv_cache "
            + "[B, 2, Hkv, capacity, D] updated in place, context_lengths i32[B], rope_cos_sin f32[1|B, P, R], "
            + "kvcache_start_index i32[0|B], q_norm and k_norm [D], attention_mask i32[B, S, ⌈S/32⌉], "
            + "attention_pos_ids i32[B, S] → output [B, S, Hq, D], kv_cache",
        operands: [
            .one("packed_qkv"), .one("kv_cache"), .one("context_lengths"), .one("rope_cos_sin"),
            .one("kvcache_start_index"), .optional("q_norm"), .optional("k_norm"),
            .optional("attention_mask"), .optional("attention_pos_ids"),
        ],
        attributes: [
            .required("num_q_heads", .int), .required("num_kv_heads", .int), .required("head_size", .int),
            .required("attention_scale", .float), .optional("sliding_window_size", 0),
            .optional("softcap", 0.0), .optional("qk_norm_eps", 0.0),
            .optional("enable_tree_attention", false),
        ]
    ) { c in
        let (heads, kvHeads, size) = (c.int("num_q_heads"), c.int("num_kv_heads"), c.int("head_size"))
        guard heads > 0, kvHeads > 0, size > 0, heads % kvHeads == 0 else {
            c.fail(
                "C1", "\(heads) query heads, \(kvHeads) key heads and head size \(size) do not go together")
            return nil
        }
        let width = (Dimension(heads) + 2 * Dimension(kvHeads)) * Dimension(size)
        guard c[0].rank == 3, c[0].shape[2] == width else {
            c.fail("C2", "expected packed_qkv [B, S, \(width)], got \(c[0])")
            return nil
        }
        let cache = c[1].shape
        let rowSize = AttentionCacheRows.size(c[1].element, headSize: size)
        c.require(
            cache.count == 5 && cache[0] == c[0].shape[0] && cache[1] == 2 && cache[2] == Dimension(kvHeads)
                && cache[4] == Dimension(rowSize), "C3",
            "expected kv_cache [\(c[0].shape[0]), 2, \(kvHeads), capacity, \(rowSize)], got \(c[1])")
        c.require(
            c[2] == TensorType(.i32, [c[0].shape[0]]), "C4",
            "expected context_lengths i32[\(c[0].shape[0])], got \(c[2])")
        let rotary = c[3].rank == 3 ? c[3].shape[2].constant : nil
        c.require(
            c[3].element == .f32 && rotary.map { $0 <= size && $0 % 2 == 0 } == true
                && (c[3].shape[0] == 1 || c[3].shape[0] == c[0].shape[0]), "C5",
            "expected rope_cos_sin f32[1|\(c[0].shape[0]), positions, R] with an even R up to \(size), got \(c[3])"
        )
        c.require(
            c[4].element == .i32 && c[4].rank == 1, "C6", "expected kvcache_start_index i32[0|B], got \(c[4])"
        )
        for (index, label) in [(5, "q_norm"), (6, "k_norm")] {
            guard let norm = c.optional(index) else { continue }
            c.require(norm.shape == [Dimension(size)], "C7", "expected \(label) [\(size)], got \(norm)")
        }
        c.require(
            (c.optional(5) == nil) == (c.optional(6) == nil)
                && (c.optional(5) != nil) == (c.float("qk_norm_eps") > 0), "C8",
            "q_norm, k_norm and qk_norm_eps go together")
        c.require(
            c.int("sliding_window_size") >= 0 && c.float("softcap") >= 0, "C9",
            "sliding_window_size and softcap must not be negative")
        c.require(
            (c.optional(7) != nil) == c.bool("enable_tree_attention")
                && (c.optional(8) != nil) == c.bool("enable_tree_attention"), "C10",
            "attention_mask, attention_pos_ids and enable_tree_attention go together")
        if let mask = c.optional(7) {
            c.require(
                mask.element == .i32 && mask.rank == 3 && mask.shape[0] == c[0].shape[0], "C11",
                "expected attention_mask i32[\(c[0].shape[0]), S, ⌈S/32⌉], got \(mask)")
        }
        if let positions = c.optional(8) {
            c.require(
                positions.element == .i32 && positions.rank == 2 && positions.shape[0] == c[0].shape[0],
                "C12",
                "expected attention_pos_ids i32[\(c[0].shape[0]), S|1], got \(positions)")
        }
        return [
            TensorType(c[0].element, [c[0].shape[0], c[0].shape[1], Dimension(heads), Dimension(size)]), c[1],
        ]
    }
}
