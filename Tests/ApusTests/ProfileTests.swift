import Apus
import Testing

/// The time of every step, and the bytes it reads.
@Suite struct ProfileTests {
    private func forward(_ executor: any Executor, _ tokens: [Int32], cached: Int32) throws {
        let (new, old) = ([Int32(tokens.count)], [cached])
        _ = try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try new.withUnsafeBufferPointer { new throws(ApusError) in
                try old.withUnsafeBufferPointer { old throws(ApusError) in
                    try executor.forward(
                        tokens: tokens, batch: 1, width: tokens.count, newCounts: new, cachedCounts: old)
                }
            }
        }
    }

    @Test(arguments: [BackendKind.plugin, .iattention])
    func everyStepIsTimedBetweenStartAndStop(backend: BackendKind) throws {
        let options = LoadOptions(backend: backend, cache: backend == .plugin ? nil : .staticV1, threads: 2)
        let model = try LanguageModel(folder: FixtureFolder("qwen2").path, options: options)
        let engine = try #require(model.engine)
        let executor = try #require(
            try model.makeExecutor(SessionLimits(batch: 1, chunk: 4, capacity: 8)) as? any ProfilingExecutor)
        try forward(executor, [1, 2], cached: 0)
        #expect(executor.stopProfiling() == nil)
        executor.startProfiling()
        try forward(executor, [3], cached: 2)
        try forward(executor, [4], cached: 3)
        let profile = try #require(executor.stopProfiling())
        #expect(profile.passCount == 2)
        #expect(profile.seconds.count == engine.plan.steps.count)
        #expect(profile.seconds.allSatisfy { $0 > 0 })
        try forward(executor, [5], cached: 4)
        #expect(executor.stopProfiling() == nil)
    }

    @Test func stepsReadWhatADecodeStepReads() throws {
        let model = try LanguageModel(folder: FixtureFolder("qwen3").path)
        let engine = try #require(model.engine)
        for depth in [0, 1, 7] {
            let sum = engine.plan.steps.reduce(0) { $0 + engine.bytesRead(by: $1, batch: 2, depth: depth) }
            #expect(sum == engine.bytesPerDecodeStep(batch: 2, depth: depth))
        }
    }
}
