import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import AttentionCases
import Testing

/// A player that says something else than what it computed.
private struct Liar: PluginPlayer {
    let honest: PluginRunner
    /// Changes a tensor's elements: the output's, or the cache's.
    var output: @Sendable (inout [Float]) -> Void = { _ in }
    var cache: @Sendable (inout [Float]) -> Void = { _ in }

    func write(_ tensor: Tensor, to operand: Int) throws(ApusError) { try honest.write(tensor, to: operand) }
    func run() throws(ApusError) { try honest.run() }
    func result(_ index: Int) throws(ApusError) -> Tensor { changed(try honest.result(index), output) }
    func operand(_ index: Int) throws(ApusError) -> Tensor { changed(try honest.operand(index), cache) }

    private func changed(_ tensor: Tensor, _ change: (inout [Float]) -> Void) -> Tensor {
        var floats = tensor.floats
        change(&floats)
        return Tensor(tensor.element, tensor.shape, floats: floats)
    }
}

/// What is wrong with an output or a cache is found.
@Suite struct PlaybackTests {
    /// Two sequences, of which the second has a row of padding; capacity 8, heads of 8.
    private static let script = Script(PluginCase("", 1, 1, 8, batch: 2, .prefill([3, 2])))

    private static func faults(passes: Int = 1, _ change: (inout Liar) -> Void) throws -> [String] {
        let runner = try PluginRunner(
            AttentionPlugin(), operands: script.operandTypes(.f32), attributes: script.attributes,
            backend: try CPUBackend(threads: 1))
        var liar = Liar(honest: runner)
        change(&liar)
        return try Playback(script, .f32, liar, passes: passes).play().faults
    }

    @Test(arguments: [1, 3]) func nothingIsWrongWithThePlugin(passes: Int) throws {
        #expect(try Self.faults(passes: passes) { _ in } == [])
    }

    @Test func errorsOfTheOutputAreFound() throws {
        let faults = try Self.faults { $0.output = { $0[16] += 1e-3 } }
        #expect(faults.count == 1)
        #expect(faults.first?.hasPrefix("round 0: output sequence 0, token 2: error ") == true)
        #expect(faults.first?.hasSuffix(" of the largest value, at most 1e-05 with a cache of f32") == true)
    }

    @Test func numbersInPaddingAreFound() throws {
        #expect(
            try Self.faults { $0.output = { $0[47] = 1e-30 } } == [
                "round 0: 1 rows of padding are not all zeros, first sequence 1, token 2"
            ])
    }

    @Test func numbersThatAreNotFiniteAreFound() throws {
        #expect(try Self.faults { $0.output = { $0[0] = .nan } }.count == 2)
    }

    @Test func errorsOfTheCacheAreFound() throws {
        let faults = try Self.faults { $0.cache = { $0[8] += 1e-3 } }
        #expect(faults.count == 1)
        #expect(faults.first?.hasPrefix("round 0: cache sequence 0, slot 1: error ") == true)
    }

    @Test func touchedSlotsAreFound() throws {
        #expect(
            try Self.faults { $0.cache = { $0[24] = 0 } } == [
                "round 0: 1 numbers in slots of the cache that hold no token"
            ])
    }
}
