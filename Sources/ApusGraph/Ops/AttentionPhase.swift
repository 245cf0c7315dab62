public import ApusSupport

/// What one call of an attention plugin does.
///
/// Shapes alone tell it.
public enum AttentionPhase: Sendable, Hashable {
    /// New sequences: nothing is cached.
    case prefill
    /// Several more tokens of each sequence, one after the other.
    case chunk
    /// One more token of each sequence.
    case decode
    /// A tree of draft tokens after each sequence: a bit mask says which of them see each other.
    case tree

    /// Tells the phase.
    /// - Parameters:
    ///   - batch: B, number of sequences.
    ///   - tokens: S, rows of new tokens a sequence.
    ///   - starts: Length of `kvcache_start_index`.
    ///   - tree: Shapes of `attention_mask` and `attention_pos_ids` if tree attention is enabled.
    /// - Throws: `.mismatch` for shapes that no phase has.
    public init(batch: Int, tokens: Int, starts: Int, tree: (mask: [Int], positions: [Int])?)
        throws(ApusError)
    {
        if starts == 0 {
            self = .prefill
            return
        }
        guard starts == batch else {
            throw ApusError(.mismatch, "kvcache_start_index: expected 0 or \(batch) elements, got \(starts)")
        }
        guard let tree else {
            self = tokens == 1 ? .decode : .chunk
            return
        }
        let columns = tree.positions[1]
        guard columns == tokens || columns == 1 else {
            throw ApusError(
                .mismatch,
                "attention_pos_ids: expected [\(batch), \(tokens)] for a tree or [\(batch), 1] for a chunk, got "
                    + "[\(batch), \(columns)]")
        }
        self = columns == tokens ? .tree : .chunk
        let words = (tokens + 31) / 32
        guard self == .chunk || tree.mask[1] == tokens && tree.mask[2] == words else {
            throw ApusError(
                .mismatch,
                "attention_mask: expected [\(batch), \(tokens), \(words)], a bit for each pair of tokens of the "
                    + "tree, got [\(batch), \(tree.mask[1]), \(tree.mask[2])]")
        }
    }
}

/// The new tokens of one sequence in one call of an attention plugin.
public struct AttentionSpan: Sendable, Hashable {
    /// Cache slot of the first new token; also its position, but in a tree.
    public let first: Int
    /// New tokens; rows from here on are padding.
    ///
    /// In a tree, padding is among these.
    public let count: Int
    /// Tokens in the cache after the call.
    public var length: Int { first + count }

    /// Tells what a sequence's numbers mean in a phase.
    ///
    /// A context length of 0 is a sequence that has nothing to do.
    /// - Parameters:
    ///   - sequence: Index of the sequence, for errors.
    ///   - phase: The phase of the call.
    ///   - contextLength: Its element of `context_lengths`.
    ///   - start: Its element of `kvcache_start_index`; not used in prefill.
    ///   - tokens: S, rows of new tokens.
    ///   - capacity: Slots of the cache.
    ///   - positions: Rows of the rotary table, nil if nothing rotates.
    /// - Throws: `.invalidInput` for lengths that do not fit rows, start, cache or table.
    public init(
        sequence: Int, phase: AttentionPhase, contextLength: Int, start: Int, tokens: Int, capacity: Int,
        positions: Int?
    ) throws(ApusError) {
        switch phase {
        case .prefill: (first, count) = (0, contextLength)
        case .chunk: (first, count) = (start, contextLength)
        case .decode, .tree:
            // The length counts this step's tokens, padding of a tree included.
            (first, count) = contextLength == 0 ? (0, 0) : (start, tokens)
            guard contextLength == length else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(sequence): expected context length \(start) + \(tokens), which "
                        + "kvcache_start_index and the new tokens make, got \(contextLength)")
            }
        }
        guard first >= 0, count >= 0, count <= tokens else {
            throw ApusError(
                .invalidInput,
                "sequence \(sequence): context length \(contextLength) from position \(first) does not fit "
                    + "\(tokens) rows")
        }
        guard length <= capacity else {
            throw ApusError(
                .invalidInput, "sequence \(sequence): \(length) tokens do not fit a cache of \(capacity)")
        }
        // Draft tokens have positions of their own.
        if phase != .tree, let positions, length > positions {
            throw ApusError(
                .invalidInput,
                "sequence \(sequence): \(length) tokens exceed the \(positions) rotary positions")
        }
    }

    /// Checks the position of one token of a tree; −1 is padding.
    /// - Throws: `.invalidInput` for a position that the rotary table does not have.
    public static func check(position: Int, of token: Int, sequence: Int, positions: Int?) throws(ApusError) {
        guard position >= -1, positions.map({ position < $0 }) ?? true else {
            throw ApusError(
                .invalidInput,
                "sequence \(sequence), tree token \(token): expected a position in 0..<\(positions ?? Int.max), or "
                    + "-1 for padding, got \(position)")
        }
    }
}
