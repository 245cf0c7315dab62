import Apus
import ApusCPU
import ApusGraph
import Testing

/// Trees of draft tokens under random masks.
@Suite(.serialized) struct TreeTests {
    static let cases = [
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

    @Test(arguments: cases)
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
            let alone = try Playback(tree, .f16, instructions, threads: 2).play()[1]
            let beside = try Playback(longer, .f16, instructions, threads: 2).play()[1]
            #expect(beside.floats[..<alone.floats.count] == alone.floats[...])
        }
    }

    /// A tree that is a chain is a chunk.
    @Test func aChainIsAChunk() throws {
        let chunk = Script(PluginCase("", 4, 2, 32, window: 11, .prefill([40]), .chunk([20], width: 20)))
        var chain = Script(PluginCase("", 4, 2, 32, window: 11, .prefill([40]), .tree(20)))
        chain.makeChain(of: chunk)
        for instructions in InstructionSet.available {
            let expected = try Playback(chunk, .f32, instructions, threads: 1).play()[1]
            let got = try Playback(chain, .f32, instructions, threads: 2).play()[1]
            #expect(got == expected)
        }
    }
}
