import Apus
import Testing

@testable import ApusCommand

/// An executor that remembers what it was asked, and whose logits favour the last token's successor.
private final class RecordingExecutor: Executor {
    struct Call: Equatable {
        var tokens: [Int32]
        var width: Int
        var cached: [Int32]
    }
    let limits: SessionLimits
    let vocabularySize = 200
    let workingBytes = 0
    var calls: [Call] = []
    private var logits: UnsafeMutableBufferPointer<Float>

    init(_ limits: SessionLimits) {
        self.limits = limits
        logits = .allocate(capacity: limits.batch * vocabularySize)
    }

    deinit { logits.deallocate() }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        calls.append(Call(tokens: Array(tokens), width: width, cached: Array(cachedCounts)))
        logits.update(repeating: 0)
        for row in 0..<batch {
            let last = Int(tokens[row * width + Int(newCounts[row]) - 1])
            logits[row * vocabularySize + (last + 1) % vocabularySize] = 1
        }
        return UnsafeBufferPointer(logits)
    }
}

@Suite struct GenerationBenchmarkTests {
    @Test func promptsRunInChunksBehindTheDepthAndTokensAreFedBack() throws {
        let setting = BenchmarkSetting(batch: 2, inputLength: 3, outputLength: 3, depth: 2)
        let executor = RecordingExecutor(setting.limits(chunk: 2))
        #expect(executor.limits == SessionLimits(batch: 2, chunk: 2, capacity: 7))
        let benchmark = try GenerationBenchmark(
            executor, setting, prompts: [[1, 2, 3], [7, 8, 9]], seed: 0)
        #expect(executor.calls.map(\.width) == [2])
        executor.calls = []
        let times = try benchmark.run(warmup: 1, iterations: 2)
        #expect(times.firstToken.count == 2 && times.total.count == 2)
        #expect(executor.calls.count == 12)
        #expect(
            Array(executor.calls[..<4]) == [
                RecordingExecutor.Call(tokens: [1, 2, 7, 8], width: 2, cached: [2, 2]),
                RecordingExecutor.Call(tokens: [3, 9], width: 1, cached: [4, 4]),
                RecordingExecutor.Call(tokens: [4, 10], width: 1, cached: [5, 5]),
                RecordingExecutor.Call(tokens: [5, 11], width: 1, cached: [6, 6]),
            ])
        #expect(executor.calls[4] == executor.calls[0])
        #expect(zip(times.firstToken, times.total).allSatisfy { $0 <= $1 })
    }

    @Test func timesBetweenTokensLeaveTheFirstOut() {
        let times = GenerationTimes(firstToken: [1, 2, 4], total: [3, 4, 6])
        #expect(times.ttft == 2)
        #expect(times.tpot(outputLength: 5) == 0.5)
        #expect(times.tpot(outputLength: 1) == nil)
    }

    @Test func settingsBeyondTheModelsPositionsNameTheFlags() {
        let setting = BenchmarkSetting(batch: 1, inputLength: 10, outputLength: 5, depth: 2)
        let info = ModelInfo(
            modelType: "llama", vocabularySize: 9, maxPositions: 15, layerCount: 1, precision: .f32)
        do {
            try setting.check(info)
            Issue.record("it was accepted")
        } catch {
            #expect(
                error.description
                    == "depth 2 + prompt 10 + output 5 take 16 positions, the model has 15: choose smaller --depth, "
                    + "--isl or --osl")
        }
        #expect(throws: Never.self) {
            try BenchmarkSetting(batch: 1, inputLength: 10, outputLength: 5, depth: 1).check(info)
        }
    }

    @Test func randomIDsAreSeededAndInTheVocabulary() {
        let ids = GenerationBenchmark.randomIDs(batch: 2, count: 50, vocabularySize: 3, seed: 1)
        #expect(ids == GenerationBenchmark.randomIDs(batch: 2, count: 50, vocabularySize: 3, seed: 1))
        #expect(ids[0] != ids[1])
        #expect(Set(ids.joined()) == [0, 1, 2])
    }

    @Test(arguments: [1, 63, 64, 65, 200])
    func argmaxFindsTheFirstOfTheLargest(count: Int) {
        for target in [0, count / 2, count - 1] {
            var values = [Float](repeating: -5, count: count)
            values[target] = 3
            values[count - 1] = 3
            #expect(values.withUnsafeBufferPointer(GenerationBenchmark.argmax) == min(target, count - 1))
        }
    }
}
