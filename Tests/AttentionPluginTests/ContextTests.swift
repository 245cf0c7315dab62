import AttentionCases
import Testing

/// Prefill and chunked prefill.
@Suite(.serialized) struct ContextTests {
    @Test(arguments: PluginCase.contexts)
    func agreesWithPlainAttention(c: PluginCase) throws { try play(c) }
}
