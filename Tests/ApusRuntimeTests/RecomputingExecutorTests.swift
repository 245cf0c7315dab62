import ApusEngine
import ApusGraph
import ApusSupport
import Testing

/// Remembers what it was asked to compute; logits name the last token and the length.
private final class RecordingComputer: SequenceComputer {
    let batchLimit: Int
    let workingBytes = 100
    var calls: [[[Int32]]] = []
    var failsNext = false

    init(batchLimit: Int) { self.batchLimit = batchLimit }

    func compute(
        _ tokens: UnsafeBufferPointer<Int32>, count: Int, length: Int,
        into logits: UnsafeMutableBufferPointer<Float>
    ) throws(ApusError) {
        if failsNext {
            failsNext = false
            throw ApusError(.device, "failed")
        }
        let rows = (0..<count).map { Array(tokens[$0 * length..<($0 + 1) * length]) }
        calls.append(rows)
        for (row, tokens) in rows.enumerated() {
            logits[row * 10] = Float(tokens.last ?? 0)
            logits[row * 10 + 1] = Float(length)
        }
    }
}

@Suite struct RecomputingExecutorTests {
    private static let info = ModelInfo(
        modelType: "m", vocabularySize: 10, maxPositions: 8, layerCount: 1, precision: .f32)

    private func executor(_ computer: RecordingComputer, capacity: Int = 8) -> RecomputingExecutor {
        RecomputingExecutor(
            computer, model: Self.info, limits: SessionLimits(batch: 3, chunk: 2, capacity: capacity))
    }

    private func forward(
        _ executor: RecomputingExecutor, _ rows: [[Int32]], cached: [Int32]
    ) throws -> [[Float]] {
        let width = rows.map(\.count).max() ?? 0
        let tokens = rows.flatMap { $0 + [Int32](repeating: 9, count: width - $0.count) }
        let counts = rows.map { Int32($0.count) }
        return try tokens.withUnsafeBufferPointer { tokens in
            try counts.withUnsafeBufferPointer { counts in
                try cached.withUnsafeBufferPointer { cached in
                    let logits = try executor.forward(
                        tokens: tokens, batch: rows.count, width: width, newCounts: counts,
                        cachedCounts: cached)
                    return rows.indices.map { [logits[$0 * 10], logits[$0 * 10 + 1]] }
                }
            }
        }
    }

    @Test func rowsOfOneLengthAreComputedTogether() throws {
        let computer = RecordingComputer(batchLimit: 3)
        let executor = executor(computer)
        #expect(executor.limits == SessionLimits(batch: 3, chunk: 8, capacity: 8))
        #expect(try forward(executor, [[1, 2], [3, 4]], cached: [0, 0]) == [[2, 2], [4, 2]])
        #expect(try forward(executor, [[5], [6]], cached: [2, 2]) == [[5, 3], [6, 3]])
        #expect(computer.calls == [[[1, 2], [3, 4]], [[1, 2, 5], [3, 4, 6]]])
    }

    @Test(arguments: [1, 3])
    func rowsOfOtherLengthsAreComputedAloneWithoutPadding(batchLimit: Int) throws {
        let computer = RecordingComputer(batchLimit: batchLimit)
        let executor = executor(computer)
        #expect(try forward(executor, [[1, 2, 3], [4]], cached: [0, 0]) == [[3, 3], [4, 1]])
        #expect(computer.calls == [[[1, 2, 3]], [[4]]])
    }

    @Test func aRowThatWaitsIsNotComputedAgain() throws {
        let computer = RecordingComputer(batchLimit: 3)
        let executor = executor(computer)
        _ = try forward(executor, [[1, 2], [3, 4]], cached: [0, 0])
        computer.calls = []
        #expect(try forward(executor, [[2], [7]], cached: [1, 2]) == [[2, 2], [7, 3]])
        #expect(computer.calls == [[[3, 4, 7]]])
        // A whole prompt that comes again is a new request.
        computer.calls = []
        _ = try forward(executor, [[1, 2], [3, 4]], cached: [0, 0])
        #expect(computer.calls == [[[1, 2], [3, 4]]])
    }

    @Test func goesOnFromAnEarlierPlace() throws {
        let computer = RecordingComputer(batchLimit: 1)
        let executor = executor(computer)
        _ = try forward(executor, [[1, 2, 3, 4]], cached: [0])
        #expect(try forward(executor, [[8]], cached: [2]) == [[8, 3]])
        #expect(computer.calls.last == [[1, 2, 8]])
        #expect(throws: ApusError.self) { try forward(executor, [[8]], cached: [4]) }
    }

    @Test func aFailureForgetsWhatWasNotComputed() throws {
        let computer = RecordingComputer(batchLimit: 1)
        let executor = executor(computer)
        _ = try forward(executor, [[1, 2]], cached: [0])
        computer.failsNext = true
        #expect(throws: ApusError.self) { try forward(executor, [[3, 4]], cached: [2]) }
        #expect(throws: ApusError.self) { try forward(executor, [[5]], cached: [4]) }
        #expect(try forward(executor, [[5]], cached: [2]) == [[5, 3]])
    }

    @Test func wrongCountsAndIDsAreRefusedBeforeAnythingRuns() throws {
        let computer = RecordingComputer(batchLimit: 3)
        let executor = executor(computer, capacity: 5)
        for (rows, cached) in [
            ([[1], [1], [1], [1]], [0, 0, 0, 0]), ([[1, 1, 1, 1, 1, 1]], [0]), ([[10]], [0]), ([[-1]], [0]),
            ([[1]], [1]), ([[1]], [-1]),
        ] as [([[Int32]], [Int32])] {
            #expect(throws: ApusError.self) { try forward(executor, rows, cached: cached) }
        }
        #expect(computer.calls.isEmpty)
        #expect(executor.workingBytes == 100 + 3 * 10 * 4)
    }
}
