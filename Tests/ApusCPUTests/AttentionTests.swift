import GraphCases
import Testing

@testable import ApusCPU

/// Products of activations, fused attention and cache updates against the reference interpreter.
@Suite struct AttentionTests {
    @Test(arguments: GraphCase.products + GraphCase.attention + GraphCase.caches + GraphCase.decodeLayers)
    func agreesWithTheInterpreter(test: GraphCase) throws { try test.check(InstructionSet.available) }
}
