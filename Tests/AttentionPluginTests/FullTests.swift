import AttentionCases
import Testing

/// The sizes that models have, as others test their kernels of the same contract; minutes in a debug build.
@Suite(.serialized, .enabled(if: isFull)) struct FullTests {
    @Test(arguments: PluginCase.fullContexts) func contextAgreesWithPlainAttention(c: PluginCase) throws {
        try play(c)
    }
    @Test(arguments: PluginCase.fullDecodes) func decodeAgreesWithPlainAttention(c: PluginCase) throws {
        try play(c)
    }
    @Test(arguments: PluginCase.fullTrees) func treeAgreesWithPlainAttention(c: PluginCase) throws {
        try play(c)
    }
    @Test(arguments: PluginCase.fullCaches) func cacheAgreesWithPlainAttention(c: PluginCase) throws {
        try play(c)
    }
}
