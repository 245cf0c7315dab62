import ApusEngine
import ApusGraph
import ApusSupport
import CAllocationCounter
import Testing

@testable import ApusRuntime

@Suite struct AllocationTests {
    @Test(arguments: [
        SamplingOptions.greedy,
        SamplingOptions(
            temperature: 0.8, topK: 100, topP: 0.9, minP: 0.01, repetitionPenalty: 1.1, presencePenalty: 0.5,
            frequencyPenalty: 0.5, logitBias: [3: 1], seed: 3),
    ])
    func aDecodedTokenAllocatesNothing(sampling: SamplingOptions) throws {
        let executor = FakeExecutor(SessionLimits(batch: 2, chunk: 8, capacity: 256), vocabularySize: 500)
        executor.recordsPasses = false
        let model = ModelInfo(
            modelType: "fake", vocabularySize: 500, maxPositions: 256, layerCount: 1, precision: .f32)
        let generator = Generator(executor: executor, model: model)
        let options = GenerationOptions(maxNewTokens: 200, sampling: sampling)
        // Other tests run beside this one: what every token allocates would show in all differences.
        var last = apus_allocation_count()
        var least = UInt64.max
        _ = try generator.generate([[1, 2, 3], [4]], options: options) { token throws(ApusError) in
            let now = apus_allocation_count()
            if token.index > 2 { least = min(least, now - last) }
            last = now
        }
        #expect(least == 0)
    }
}
