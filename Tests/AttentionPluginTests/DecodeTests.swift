import AttentionCases
import Testing

/// One token of each sequence over a cache.
@Suite(.serialized) struct DecodeTests {
    @Test(arguments: PluginCase.decodes)
    func agreesWithPlainAttention(c: PluginCase) throws { try play(c) }
}
