import ApusEngine
import ApusGraph
import ApusSupport

/// What the kernels must know of each new token and of each sequence, worked out before a pass.
///
/// Arrays over tokens are [B, S], row-major.
final class AttentionPluginRows {
    /// What the call does.
    private(set) var phase = AttentionPhase.prefill
    /// B: sequences of the call.
    private(set) var batch = 0
    /// S: rows of new tokens, padding included.
    private(set) var tokens = 0
    /// Position for RoPE of each token; −1 is padding.
    let positions: UnsafeMutablePointer<Int32>
    /// Cache slot of each token; −1 is padding.
    let slots: UnsafeMutablePointer<Int32>
    /// Sequence of each token.
    let sequences: UnsafeMutablePointer<Int32>
    /// [B] cache slot of the first new token.
    let starts: UnsafeMutablePointer<Int32>
    /// [B] KV length after the call.
    let lengths: UnsafeMutablePointer<Int32>

    /// Bits [B, S, words] of a tree: those of the mask, without padding and what the window hides.
    let tree: UnsafeMutablePointer<UInt32>
    /// Words of a row of ``tree``.
    private(set) var words = 0

    private let storage: UnsafeMutablePointer<Int32>
    private let contextLengths: UnsafeMutablePointer<Int32>
    private let startIndex: UnsafeMutablePointer<Int32>
    private let mask: UnsafeMutablePointer<Int32>?
    private let treePositions: UnsafeMutablePointer<Int32>?
    private let window: Int
    private var capacity = 0
    private var rotaryPositions: Int?
    private var startCount = 0
    private var treeShapes: (mask: [Int], positions: [Int])?

    init(_ setup: CPUKernelSetup) throws(ApusError) {
        let packed = try setup.operand(0).maximumShape
        let (batch, tokens) = (packed[0], packed[1])
        contextLengths = try Self.integers(try setup.operand(2), "context_lengths")
        startIndex = try Self.integers(try setup.operand(4), "kvcache_start_index")
        mask = try setup.optional(7).map { tensor throws(ApusError) in
            try Self.integers(tensor, "attention_mask")
        }
        treePositions = try setup.optional(8).map { tensor throws(ApusError) in
            try Self.integers(tensor, "attention_pos_ids")
        }
        window = setup.int("sliding_window_size")
        let bits = mask == nil ? 0 : batch * tokens * ((tokens + 31) / 32)
        let count = 3 * batch * tokens + 2 * batch + bits
        storage = .allocate(capacity: count)
        storage.initialize(repeating: 0, count: count)
        positions = storage
        slots = positions + batch * tokens
        sequences = slots + batch * tokens
        starts = sequences + batch * tokens
        lengths = starts + batch
        tree = UnsafeMutableRawPointer(lengths + batch).assumingMemoryBound(to: UInt32.self)
    }

    deinit { storage.deallocate() }

    /// The elements of an operand that is read before the pass.
    private static func integers(
        _ tensor: KernelTensor, _ name: String
    ) throws(ApusError) -> UnsafeMutablePointer<Int32> {
        guard !tensor.isComputed else {
            throw ApusError(
                .unsupported,
                "\(name) %\(tensor.name): expected an input of the engine or a constant, got the result of a step"
            )
        }
        return try tensor.integers()
    }

    /// Takes the sizes of the next calls.
    func resize(_ shapes: KernelShapes) {
        guard let packed = shapes.operands[0], let cache = shapes.operands[1], let rope = shapes.operands[3],
            let start = shapes.operands[4]
        else { return }
        (batch, tokens) = (packed[0], packed[1])
        words = (tokens + 31) / 32
        capacity = cache[3]
        rotaryPositions = rope[2] == 0 ? nil : rope[1]
        startCount = start[0]
        treeShapes = nil
        if shapes.operands.count > 8, let mask = shapes.operands[7], let positions = shapes.operands[8] {
            treeShapes = (mask, positions)
        }
    }

    /// Works out every row of the next call.
    /// - Throws: `.mismatch` or `.invalidInput` for numbers that do not fit.
    func prepare() throws(ApusError) {
        phase = try AttentionPhase(batch: batch, tokens: tokens, starts: startCount, tree: treeShapes)
        for sequence in 0..<batch {
            let span = try AttentionSpan(
                sequence: sequence, phase: phase, contextLength: Int(contextLengths[sequence]),
                start: phase == .prefill ? 0 : Int(startIndex[sequence]), tokens: tokens, capacity: capacity,
                positions: rotaryPositions)
            starts[sequence] = Int32(span.first)
            lengths[sequence] = Int32(span.length)
            for token in 0..<tokens {
                let row = sequence * tokens + token
                var position = Int32(-1)
                if token < span.count {
                    position = Int32(span.first + token)
                    if phase == .tree, let treePositions {
                        position = treePositions[row]
                        try AttentionSpan.check(
                            position: Int(position), of: token, sequence: sequence, positions: rotaryPositions
                        )
                    }
                }
                positions[row] = position
                slots[row] = position < 0 ? -1 : Int32(span.first + token)
                sequences[row] = Int32(sequence)
            }
            if phase == .tree, let mask { digest(mask, sequence) }
        }
    }

    /// Leaves in ``tree`` the bits by which the tokens of a sequence really see each other.
    private func digest(_ mask: UnsafeMutablePointer<Int32>, _ sequence: Int) {
        let positions = positions + sequence * tokens
        for word in 0..<words {
            let bits = min(32, tokens - 32 * word)
            let written = bitset(bits) { positions[32 * word + $0] >= 0 }
            for token in 0..<tokens {
                let index = (sequence * tokens + token) * words + word
                let query = positions[token]
                tree[index] = query < 0 ? 0 : UInt32(bitPattern: mask[index]) & written
                if window > 0 {
                    tree[index] &= bitset(bits) { Int(positions[32 * word + $0]) > Int(query) - window }
                }
            }
        }
    }

    /// The bits below `count` for which a condition holds.
    @inline(__always)
    private func bitset(_ count: Int, _ condition: (Int) -> Bool) -> UInt32 {
        var bits = UInt32(0)
        for bit in 0..<count where condition(bit) { bits |= 1 << UInt32(bit) }
        return bits
    }
}
