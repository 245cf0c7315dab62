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
        ("value-norm", ["attention 0: scaled_dot_product_attention, mask causal (the value is normalised or rotated)"]),
        (
            "two-tables",
            ["attention 0: scaled_dot_product_attention, mask causal (query and key are rotated differently)"]
        ),
        (
            "two-epsilons",
            ["attention 0: scaled_dot_product_attention, mask causal (query and key are normalised differently)"]
        ),
        (
            "not-projected",
            [
                "attention 0: scaled_dot_product_attention, mask causal "
                    + "(query: %q : f32[B, 2, S, 4] is not a projection split in heads)"
            ]
        ),
    ])
    func saysWhy(name: String, lines: [String]) throws {
        #expect(try reports(name) == lines)
    }
}
