extension OpSpec {
    static let scaledDotProductAttention = OpSpec(
        "scaled_dot_product_attention", .aten,
        "y = softmax(softcap(q·kᵀ·scale) + mask)·v; q [B, H, S, D], k and v [B, Hkv, T, D], H a multiple of Hkv; "
            + "is_causal lets query s see keys 0…T − S + s, sliding_window the last so many of these only, "
            + "softcap(x) = c·tanh(x/c); 0 turns window and softcap off; mask_class is what the mask was proven to be",
        operands: [.one("q"), .one("k"), .one("v"), .optional("mask")],
        attributes: [
            .optional("is_causal", false), .required("scale", .float), .optional("enable_gqa", false),
            .optional("sliding_window", 0), .optional("softcap", 0.0), .optional("mask_class", ""),
        ],
        infer: inferAttention)

    static let attention = OpSpec(
        "attention", .engine,
        "scaled_dot_product_attention as one kernel, with the same operands, attributes and meaning",
        operands: scaledDotProductAttention.operands, attributes: scaledDotProductAttention.attributes,
        infer: inferAttention)

    private static let inferAttention: @Sendable (OpChecker) -> [TensorType]? = { c in
        guard c[0].rank == 4, c[1].rank == 4, c[1] == c[2] else {
            c.fail("C1", "expected q, k, v of rank 4 and k, v alike, got \(c[0]), \(c[1]), \(c[2])")
            return nil
        }
        c.require(
            c[0].shape[0] == c[1].shape[0] && c[0].shape[3] == c[1].shape[3], "C2",
            "q \(c[0]) and k \(c[1]) differ in batch or head size")
        if let heads = c[0].shape[1].constant, let kvHeads = c[1].shape[1].constant {
            let agree = c.bool("enable_gqa") ? kvHeads > 0 && heads % kvHeads == 0 : heads == kvHeads
            c.require(agree, "C3", "\(heads) query heads and \(kvHeads) key heads do not go together")
        }
        if let mask = c.optional(3) {
            let target = [c[0].shape[0], c[0].shape[1], c[0].shape[2], c[1].shape[2]]
            c.require(
                Shapes.broadcasts(mask.shape, to: target), "C4",
                "mask \(mask) does not broadcast to \(TensorType(c[0].element, target))")
            c.require(!c.bool("is_causal"), "C5", "a mask and is_causal exclude each other")
        }
        c.require(
            c.int("sliding_window") >= 0 && c.float("softcap") >= 0, "C6",
            "sliding_window and softcap must not be negative")
        c.require(
            c.int("sliding_window") == 0 || c.bool("is_causal"), "C7",
            "a sliding window is one of causal attention")
        return [c[0]]
    }
}
