import GraphCases
import Testing

@testable import ApusCPU

/// Products of activations, fused attention and cache updates against the reference interpreter.
@Suite struct AttentionTests {
    @Test(
        arguments: InstructionSet.available,
        GraphCase.products + GraphCase.attention + GraphCase.caches + GraphCase.decodeLayers)
    func agreesWithTheInterpreter(set: InstructionSet, test: GraphCase) throws { try test.check(set) }
}
