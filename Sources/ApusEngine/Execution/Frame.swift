package import ApusGraph
package import ApusSupport

/// The inputs of one forward pass in fixed memory, and what kernels derive from them.
///
/// Arrays over tokens are [batch, width], row-major.
package final class Frame {
    /// Sequences of this pass.
    package private(set) var batch = 0
    /// New tokens a row, padding included.
    package private(set) var width = 0
    /// [batch, width] token ids.
    package let tokens: UnsafeMutablePointer<Int32>
    /// [batch, width] positions for embedding tables; padding repeats position 0.
    package let positions: UnsafeMutablePointer<Int32>
    /// [batch] tokens cached before the pass.
    package let starts: UnsafeMutablePointer<Int32>
    /// [batch] new tokens of each row; in a pass of one token a row, the KV length after the pass.
    package let lengths: UnsafeMutablePointer<Int32>
    /// [batch] index of the last valid token of each row.
    package let lastTokens: UnsafeMutablePointer<Int32>
    /// One number: the KV length of the first sequence after the pass.
    package let end: UnsafeMutablePointer<Int32>
    private let storage: UnsafeMutablePointer<Int32>
    private let storageCount: Int
    /// The frame's copy in the memory of a device; nil where kernels read the frame itself.
    package let mirror: (any DeviceMemory)?
    /// The values of the plan's symbols; the executor connects them to the inputs.
    package var symbols: SymbolValues?
    private let limits: SessionLimits

    /// Makes a frame for passes within `limits`.
    /// - Parameter mirror: Makes the copy in the memory of a device, of so many bytes.
    package init(
        limits: SessionLimits,
        mirror: (Int) throws(ApusError) -> (any DeviceMemory)? = { _ throws(ApusError) in nil }
    ) throws(ApusError) {
        self.limits = limits
        let count = limits.batch * limits.chunk
        storageCount = 2 * count + 3 * limits.batch + 1
        self.mirror = try mirror(storageCount * MemoryLayout<Int32>.size)
        storage = .allocate(capacity: storageCount)
        storage.initialize(repeating: 0, count: storageCount)
        tokens = storage
        positions = storage + count
        starts = storage + 2 * count
        lengths = starts + limits.batch
        lastTokens = lengths + limits.batch
        end = lastTokens + limits.batch
    }

    deinit { storage.deallocate() }

    /// The value of a free symbol in this pass.
    package func value(of symbol: String) -> Int? {
        switch symbol {
        case Bindings.batchSymbol, Bindings.startSymbol: batch
        case Bindings.tokensSymbol: width
        case Bindings.capacitySymbol: limits.capacity
        default: nil
        }
    }

    /// Number of elements of a shape in this pass.
    package func count(_ dimension: Dimension) -> Int {
        dimension.evaluate { symbol in symbols?[symbol] ?? value(of: symbol) } ?? 0
    }

    /// The memory of an input that the frame holds.
    ///
    /// A static cache's indices are those of the first sequence, which
    /// all sequences of a pass share.
    package func pointer(of input: String) -> UnsafeMutableRawPointer? {
        switch input {
        case Bindings.inputIDs: UnsafeMutableRawPointer(tokens)
        case Bindings.positionIDs: UnsafeMutableRawPointer(positions)
        case Bindings.contextLengths: UnsafeMutableRawPointer(lengths)
        case Bindings.endIndex: UnsafeMutableRawPointer(end)
        case Bindings.kvCacheStartIndex, Bindings.startIndex: UnsafeMutableRawPointer(starts)
        case Bindings.lastTokenIDs: UnsafeMutableRawPointer(lastTokens)
        default: nil
        }
    }

    /// The bytes of all inputs, in the order of the mirror.
    package var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: storage, count: storageCount * MemoryLayout<Int32>.size)
    }

    /// The memory of an input as kernels read it: in the mirror, if there is one.
    package func address(of input: String) -> UnsafeMutableRawPointer? {
        guard let pointer = pointer(of: input), let mirror else { return pointer(of: input) }
        return mirror.base + (pointer - UnsafeMutableRawPointer(storage))
    }

    /// Takes the inputs of the first step of a loop and checks them.
    /// - Throws: `.invalidInput` for counts or ids out of range, now or in a later step.
    func load(
        _ request: TokenLoopRequest, vocabularySize: Int, maxPositions: Int
    ) throws(ApusError) {
        let bound = min(limits.capacity, maxPositions)
        for (row, steps) in request.stepCounts.enumerated() {
            guard row < request.cachedCounts.count, Int(request.cachedCounts[row]) + steps <= bound else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(row): \(steps) steps exceed \(bound) positions; choose a larger context")
            }
        }
        let ones = [Int32](repeating: 1, count: request.tokens.count)
        try request.tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try ones.withUnsafeBufferPointer { ones throws(ApusError) in
                try request.cachedCounts.withUnsafeBufferPointer { cached throws(ApusError) in
                    try load(
                        tokens: tokens, batch: tokens.count, width: 1, newCounts: ones, cachedCounts: cached,
                        vocabularySize: vocabularySize, maxPositions: maxPositions)
                }
            }
        }
    }

    /// Takes the inputs of a pass and checks them.
    /// - Throws: `.invalidInput` for counts or ids out of range.
    package func load(
        tokens source: UnsafeBufferPointer<Int32>, batch: Int, width: Int,
        newCounts: UnsafeBufferPointer<Int32>, cachedCounts: UnsafeBufferPointer<Int32>, vocabularySize: Int,
        maxPositions: Int
    ) throws(ApusError) {
        guard (1...limits.batch).contains(batch), (1...limits.chunk).contains(width) else {
            throw ApusError(
                .invalidInput,
                "forward pass of \(batch) × \(width) tokens: expected up to \(limits.batch) × \(limits.chunk)"
            )
        }
        guard source.count == batch * width, newCounts.count == batch, cachedCounts.count == batch else {
            throw ApusError(
                .invalidInput,
                "expected \(batch * width) tokens and \(batch) counts, got \(source.count) and "
                    + "\(newCounts.count), \(cachedCounts.count)")
        }
        let bound = min(limits.capacity, maxPositions)
        for row in 0..<batch {
            let (new, cached) = (Int(newCounts[row]), Int(cachedCounts[row]))
            guard (1...width).contains(new), cached >= 0, cached + new <= bound else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(row): \(cached) cached and \(new) new tokens exceed \(bound) positions "
                        + "or the row of \(width); choose a larger context")
            }
            starts[row] = Int32(cached)
            lengths[row] = Int32(width == 1 ? cached + new : new)
            lastTokens[row] = Int32(new - 1)
            for column in 0..<width {
                let index = row * width + column
                let id = source[index]
                guard id >= 0, Int(id) < vocabularySize else {
                    throw ApusError(
                        .invalidInput, "token id \(id) is outside the vocabulary of \(vocabularySize)")
                }
                let isValid = column < new
                tokens[index] = id
                positions[index] = isValid ? Int32(cached + column) : 0
            }
        }
        end[0] = cachedCounts[0] + newCounts[0]
        self.batch = batch
        self.width = width
    }
}
