public import ApusGraph
public import ApusSupport

/// Computes whole sequences from their first token.
public protocol SequenceComputer: AnyObject {
    /// Most sequences of one length that are computed together.
    var batchLimit: Int { get }

    /// Bytes held for activations.
    var workingBytes: Int { get }

    /// Writes the logits after the last token of each sequence.
    /// - Parameters:
    ///   - tokens: [count, length] token ids of the vocabulary.
    ///   - count: Number of sequences, 1…``batchLimit``.
    ///   - length: Tokens of each.
    ///   - logits: [count, V].
    func compute(
        _ tokens: UnsafeBufferPointer<Int32>, count: Int, length: Int,
        into logits: UnsafeMutableBufferPointer<Float>
    ) throws(ApusError)
}

/// Runs a model without a KV cache: remembers each row's tokens and computes them all again in every pass.
///
/// Rows that have grown to one length are computed together where the model can, others one by one, so that no row
/// sees another's padding. A row that repeats its last token has its logits already. ``limits`` let whole prompts
/// through, because a chunk would only be computed again with the next one.
public final class RecomputingExecutor: Executor {
    /// As planned, but for the chunk, which is the capacity.
    public let limits: SessionLimits
    /// Number of logits of a token.
    public let vocabularySize: Int
    private let computer: any SequenceComputer
    private let maxPositions: Int
    /// [batch, capacity] tokens of each row.
    private let histories: UnsafeMutablePointer<Int32>
    /// [batch, capacity] tokens of rows that are computed together, without gaps.
    private let packed: UnsafeMutablePointer<Int32>
    /// Tokens of each row that its logits are of.
    private var lengths: [Int]
    /// Tokens of each row in the pass that runs; 0 for a row whose logits are at hand.
    private var wanted: [Int]
    private let logits: UnsafeMutableBufferPointer<Float>

    /// Makes an executor of a model.
    public init(_ computer: any SequenceComputer, model: ModelInfo, limits: SessionLimits) {
        self.computer = computer
        self.limits = SessionLimits(batch: limits.batch, chunk: limits.capacity, capacity: limits.capacity)
        vocabularySize = model.vocabularySize
        maxPositions = model.maxPositions
        lengths = Array(repeating: 0, count: limits.batch)
        wanted = lengths
        let count = limits.batch * limits.capacity
        histories = .allocate(capacity: count)
        histories.initialize(repeating: 0, count: count)
        packed = .allocate(capacity: count)
        packed.initialize(repeating: 0, count: count)
        logits = .allocate(capacity: limits.batch * model.vocabularySize)
        logits.initialize(repeating: 0)
    }

    deinit {
        histories.deallocate()
        packed.deallocate()
        logits.deallocate()
    }

    /// Bytes held for activations and logits.
    public var workingBytes: Int { computer.workingBytes + logits.count * MemoryLayout<Float>.size }

    /// Runs one pass over all tokens of each row.
    public func forward(
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
            try check(row, new: Int(newCounts[row]), cached: Int(cachedCounts[row]), width: width)
            for column in 0..<Int(newCounts[row]) {
                let id = tokens[row * width + column]
                guard id >= 0, Int(id) < vocabularySize else {
                    throw ApusError(
                        .invalidInput, "token id \(id) is outside the vocabulary of \(vocabularySize)")
                }
            }
        }
        for row in 0..<batch {
            take(
                UnsafeBufferPointer(rebasing: tokens[row * width..<row * width + Int(newCounts[row])]),
                row, behind: Int(cachedCounts[row]))
        }
        try compute(batch)
        return UnsafeBufferPointer(rebasing: logits[..<(batch * vocabularySize)])
    }

    private func check(_ row: Int, new: Int, cached: Int, width: Int) throws(ApusError) {
        let bound = min(limits.capacity, maxPositions)
        guard (1...width).contains(new), (0...lengths[row]).contains(cached), cached + new <= bound else {
            throw ApusError(
                .invalidInput,
                "sequence \(row): \(cached) cached and \(new) new tokens do not follow \(lengths[row]) tokens "
                    + "within \(bound) positions; choose a larger context")
        }
    }

    /// Puts new tokens behind the first `cached` of a row, unless the row is the same with them.
    private func take(_ new: UnsafeBufferPointer<Int32>, _ row: Int, behind cached: Int) {
        let history = histories + row * limits.capacity
        let length = cached + new.count
        // Only a row that waits for others repeats its last token; whatever else comes again is computed again.
        var isSame = length == lengths[row] && new.count == 1 && cached > 0
        for index in 0..<new.count where history[cached + index] != new[index] {
            history[cached + index] = new[index]
            isSame = false
        }
        wanted[row] = isSame ? 0 : length
        // Until its logits are there, the row counts as what is known to be right.
        if !isSame { lengths[row] = cached }
    }

    private func compute(_ batch: Int) throws(ApusError) {
        var together = batch > 1 && batch <= computer.batchLimit
        for row in 0..<batch where wanted[row] != wanted[0] || wanted[row] == 0 { together = false }
        if together {
            for row in 0..<batch {
                (packed + row * wanted[0]).update(from: histories + row * limits.capacity, count: wanted[0])
            }
            try computer.compute(
                UnsafeBufferPointer(start: packed, count: batch * wanted[0]), count: batch, length: wanted[0],
                into: UnsafeMutableBufferPointer(rebasing: logits[..<(batch * vocabularySize)]))
            for row in 0..<batch { lengths[row] = wanted[row] }
            return
        }
        for row in 0..<batch where wanted[row] > 0 {
            try computer.compute(
                UnsafeBufferPointer(start: histories + row * limits.capacity, count: wanted[row]), count: 1,
                length: wanted[row],
                into: UnsafeMutableBufferPointer(
                    rebasing: logits[row * vocabularySize..<(row + 1) * vocabularySize]))
            lengths[row] = wanted[row]
        }
    }
}
