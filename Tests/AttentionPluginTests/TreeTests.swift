import Apus
import ApusCPU
import ApusGraph
import AttentionCases
import Testing

/// Trees of draft tokens under random masks.
@Suite(.serialized) struct TreeTests {
    @Test(arguments: PluginCase.trees)
    func agreesWithPlainAttention(c: PluginCase) throws { try play(c) }

    /// Rows of a tree do not depend on how much padding follows it.
    @Test(arguments: [(2, 2), (2, 7), (3, 10)])
    func paddingDoesNotShow(real: Int, padded: Int) throws {
        var c = PluginCase("", 8, 2, 128, .prefill([70]), .tree(real))
        c.spareSlots = 20
        let tree = Script(c)
        var longer = tree
        longer.padTree(to: padded)
        for instructions in InstructionSet.available {
            let alone = try play(tree, .f16, instructions, threads: 2)[1]
            let beside = try play(longer, .f16, instructions, threads: 2)[1]
            #expect(beside.floats[..<alone.floats.count] == alone.floats[...])
        }
    }

    /// A tree that is a chain is a chunk.
    @Test func aChainIsAChunk() throws {
        let chunk = Script(PluginCase("", 4, 2, 32, window: 11, .prefill([40]), .chunk([20], width: 20)))
        var chain = Script(PluginCase("", 4, 2, 32, window: 11, .prefill([40]), .tree(20)))
        chain.makeChain(of: chunk)
        for instructions in InstructionSet.available {
            let expected = try play(chunk, .f32, instructions, threads: 1)[1]
            let got = try play(chain, .f32, instructions, threads: 2)[1]
            #expect(got == expected)
        }
    }
}
