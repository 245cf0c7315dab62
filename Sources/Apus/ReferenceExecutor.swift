import ApusEngine
import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport

/// Runs the imported graph, before any pass, in the reference interpreter: FP32 and no cache.
///
/// Each row remembers its tokens and computes them all again in every pass, one row at a time, without padding.
final class ReferenceExecutor: Executor {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes: Int
    private let interpreter: Interpreter
    private let maxPositions: Int
    private var histories: [[Int32]]
    private let logits: UnsafeMutableBufferPointer<Float>

    /// - Parameter interpreter: Holds a graph with inputs `input_ids` and `position_ids`, i64[B, S], and the
    ///   logits f32[B, S, V] as its first output.
    init(_ interpreter: Interpreter, model: ModelInfo, limits: SessionLimits) {
        self.interpreter = interpreter
        self.limits = limits
        vocabularySize = model.vocabularySize
        maxPositions = model.maxPositions
        histories = Array(repeating: [], count: limits.batch)
        logits = .allocate(capacity: limits.batch * model.vocabularySize)
        logits.initialize(repeating: 0)
        workingBytes = logits.count * MemoryLayout<Float>.size
    }

    deinit { logits.deallocate() }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        guard (1...limits.batch).contains(batch), (1...limits.chunk).contains(width),
            tokens.count == batch * width, newCounts.count == batch, cachedCounts.count == batch
        else {
            throw ApusError(
                .invalidInput,
                "forward pass of \(batch) × \(width) tokens: expected up to \(limits.batch) × \(limits.chunk), "
                    + "and as many ids and counts")
        }
        for row in 0..<batch {
            let (new, cached) = (Int(newCounts[row]), Int(cachedCounts[row]))
            guard (1...width).contains(new), (0...histories[row].count).contains(cached),
                cached + new <= min(limits.capacity, maxPositions)
            else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(row): \(cached) cached and \(new) new tokens do not follow \(histories[row].count) "
                        + "tokens within \(min(limits.capacity, maxPositions)) positions")
            }
            let added = tokens[row * width..<row * width + new]
            let history = histories[row][..<cached] + added
            // A row that repeats its last token has its logits already.
            guard history != histories[row][...] else { continue }
            try compute(row, Array(history))
            histories[row] = Array(history)
        }
        return UnsafeBufferPointer(rebasing: logits[..<(batch * vocabularySize)])
    }

    private func compute(_ row: Int, _ history: [Int32]) throws(ApusError) {
        let shape = [1, history.count]
        let outputs = try interpreter.run([
            Bindings.inputIDs: Tensor(.i64, shape, ints: history.map(Int.init)),
            Bindings.positionIDs: Tensor(.i64, shape, ints: Array(history.indices)),
        ])
        guard let output = outputs.first, output.floats.count == history.count * vocabularySize else {
            throw ApusError(
                .internal,
                "expected logits f32[1, \(history.count), \(vocabularySize)], got "
                    + (outputs.first.map { "\($0)" } ?? "nothing"))
        }
        let target = UnsafeMutableBufferPointer(
            rebasing: logits[row * vocabularySize..<(row + 1) * vocabularySize])
        output.floats.withUnsafeBufferPointer { source in
            _ = target.update(from: source.suffix(vocabularySize))
        }
    }
}
