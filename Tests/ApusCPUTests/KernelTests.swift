import GraphCases
import Testing

@testable import ApusCPU

/// Every kernel that a graph without plugins needs, alone or after views, against the reference interpreter.
@Suite struct KernelTests {
    @Test(
        arguments: GraphCase.computedWeights + GraphCase.views + GraphCase.elementwise + GraphCase.logic
            + GraphCase.reductions + GraphCase.shapes)
    func agreesWithTheInterpreter(test: GraphCase) throws { try test.check(InstructionSet.available) }

    @Test(arguments: GraphCase.generated)
    func agreesOnAllTypes(test: GraphCase) throws { try test.check([.best], threads: [2]) }
}
