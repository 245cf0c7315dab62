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

    private let storage: UnsafeMutablePointer<Int32>
    private let contextLengths: UnsafeMutablePointer<Int32>
    private let startIndex: UnsafeMutablePointer<Int32>
    private var capacity = 0
    private var rotaryPositions: Int?
    private var starts0 = 0

    init(_ setup: CPUKernelSetup) throws(ApusError) {
        let packed = try setup.operand(0).maximumShape
        let (batch, count) = (packed[0], packed[0] * packed[1])
        contextLengths = try Self.integers(try setup.operand(2), "context_lengths")
        startIndex = try Self.integers(try setup.operand(4), "kvcache_start_index")
        storage = .allocate(capacity: 3 * count + 2 * batch)
        storage.initialize(repeating: 0, count: 3 * count + 2 * batch)
        positions = storage
        slots = storage + count
        sequences = storage + 2 * count
        starts = storage + 3 * count
        lengths = starts + batch
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
        capacity = cache[3]
        rotaryPositions = rope[2] == 0 ? nil : rope[1]
        starts0 = start[0]
    }

    /// Works out every row of the next call.
    /// - Throws: `.mismatch` or `.invalidInput` for numbers that do not fit.
    func prepare() throws(ApusError) {
        phase = try AttentionPhase(batch: batch, tokens: tokens, starts: starts0, treePositions: nil)
        for sequence in 0..<batch {
            let span = try AttentionSpan(
                sequence: sequence, phase: phase, contextLength: Int(contextLengths[sequence]),
                start: phase == .prefill ? 0 : Int(startIndex[sequence]), tokens: tokens, capacity: capacity,
                positions: rotaryPositions)
            starts[sequence] = Int32(span.first)
            lengths[sequence] = Int32(span.length)
            for token in 0..<tokens {
                let row = sequence * tokens + token
                positions[row] = token < span.count ? Int32(span.first + token) : -1
                slots[row] = positions[row]
                sequences[row] = Int32(sequence)
            }
        }
    }
}
