import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import AttentionCases
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension PluginRunner: PluginPlayer {}

/// Whether `APUS_FULL_TESTS` asks for all cases in all ways, which takes minutes.
let isFull = getenv("APUS_FULL_TESTS").map { String(cString: $0) == "1" } ?? false

/// Plays a script on processors and records what is wrong.
/// - Returns: The output of each call.
@discardableResult
func play(
    _ script: Script, _ element: ElementType, _ instructions: InstructionSet, threads: Int
) throws -> [Tensor] {
    let runner = try PluginRunner(
        AttentionPlugin(), operands: script.operandTypes(element), attributes: script.attributes,
        backend: try CPUBackend(threads: threads, instructionSet: instructions))
    let outcome = try Playback(script, element, runner).play()
    for fault in outcome.faults { Issue.record("\(instructions), \(threads) threads: \(fault)") }
    return outcome.outputs
}

/// Plays a case on every instruction set of the machine, on 1 to 3 threads in turn.
///
/// Each set gets another type of cache, and each case begins with another; a full run takes all pairs.
func play(_ c: PluginCase) throws {
    let script = Script(c)
    let elements: [ElementType] = [.f32, .f16, .bf16]
    var turn = c.turn
    for instructions in InstructionSet.available {
        turn += 1
        for element in isFull ? elements : [elements[turn % 3]] {
            try play(script, element, instructions, threads: turn % 3 + 1)
            turn += isFull ? 1 : 0
        }
    }
}
