import ApusGraph
import ApusPasses
import Testing

/// Each attention gets one line that says which kernel it uses, and why it is not the plugin.
@Suite struct AttentionReportTests {
    private func reports(_ name: String) throws -> [String] {
        let file = try GoldenFile("insert-attention-plugin/\(name).ir")
        let graph = try Graph(parsing: file.before)
        return try PassManager().run(graph, file.passes).reports.flatMap(\.attention).map(\.description)
    }

    @Test(arguments: [
        ("packed", ["attention 0: attention_plugin, mask causal"]),
        (
            "one-of-two",
            [
                "attention 0: attention_plugin, mask causal",
                "attention 1: scaled_dot_product_attention, mask all-visible (it is not causal)",
            ]
        ),
        ("mask", ["attention 0: scaled_dot_product_attention, mask general (it has a mask)"]),
        (
            "value-norm",
            ["attention 0: scaled_dot_product_attention, mask causal (the value is normalised or rotated)"]
        ),
        (
            "two-tables",
            ["attention 0: scaled_dot_product_attention, mask causal (query and key are rotated differently)"]
        ),
        (
            "two-epsilons",
            [
                "attention 0: scaled_dot_product_attention, mask causal (query and key are normalised differently)"
            ]
        ),
        (
            "not-projected",
            [
                "attention 0: scaled_dot_product_attention, mask causal "
                    + "(query: %q : f32[B, 2, S, 4] is not a projection split in heads)"
            ]
        ),
        (
            "block-mask",
            ["attention 0: scaled_dot_product_attention, mask general (its mask is block)"]
        ),
        (
            "written-out",
            [
                "attention 0: matmul, mask general (the scores come from %bounded = sigmoid : f32[B, 2, S, S]; "
                    + "expected a product of queries and keys)"
            ]
        ),
        (
            "doubled-positions",
            [
                "attention 0: scaled_dot_product_attention, mask causal (rotary embedding: a value = mul : "
                    + "f32[B, S, 2] is not a product of position_ids and constant frequencies)"
            ]
        ),
    ])
    func saysWhy(name: String, lines: [String]) throws {
        #expect(try reports(name) == lines)
    }

    /// What was proven of a mask stays known to the passes behind, which report it.
    @Test(arguments: [
        ("same-sequence", "mask 0: causal: visible where q - k >= 0, as position_ids rise by one"),
        (
            "other-positions",
            "mask 0: block: visible where q - k >= 0 and cumsum[b, k] = cumsum[b, q]"
        ),
        (
            "gathered-positions",
            "mask 0: sliding-window 4: visible where 0 <= q - k <= 3, as position_ids rise by one"
        ),
        (
            "left-padded",
            "mask 0: left-padded: visible where q - k >= 0 and %attention_mask[b, k] != 0"
        ),
        ("chunked", "mask 0: block: visible where q - k >= 0 and floor((k) / 4) = floor((q) / 4)"),
        ("prefix", "mask 0: general: visible where q - k >= 0 or k <= 2"),
        ("triu-float", "mask 0: causal: visible where q - k >= 0"),
        ("longer-keys", "mask 0: causal: visible where q - k >= 0"),
    ])
    func saysWhatAMaskIs(name: String, line: String) throws {
        let file = try GoldenFile("classify-attention-mask/\(name).ir")
        let reports = try PassManager().run(Graph(parsing: file.before), file.passes).reports
        #expect(reports.flatMap(\.masks).map(\.description) == [line])
    }

    @Test func aCacheThatStaysIsRemarked() throws {
        let file = try GoldenFile("lift-kv-cache/off-by-one.ir")
        let reports = try PassManager().run(Graph(parsing: file.before), file.passes).reports
        #expect(
            reports.flatMap(\.remarks) == [
                "lift-kv-cache: the program keeps its cache: the mask of attention 0 is general: visible where "
                    + "q - k >= 1, as cache_position rise by one"
            ])
    }
}
