import Testing

/// One attention and what is done to it, round after round.
struct PluginCase: CustomTestStringConvertible, Sendable {
    /// One call of the plugin; counts are new tokens of each sequence.
    enum Round: Sendable {
        /// New sequences, padded to the longest.
        case prefill([Int])
        /// More tokens of each sequence, padded to `width`.
        case chunk([Int], width: Int)
        /// One token of each sequence; a sequence of count 0 has nothing to do.
        case decode([Int])
        /// Draft tokens with a random mask, of which the last `padding` are padding; forgotten after the round.
        case tree(Int, padding: Int = 0)
    }

    var name: String
    var q: Int
    var kv: Int
    var dim: Int
    /// Rotated dimensions; nil is all of them.
    var rotary: Int?
    var window = 0
    var softcap = 0.0
    var scale: Double?
    var hasNorm = false
    /// A rotary table for each sequence.
    var hasTables = false
    /// Slots beyond those that are needed.
    var spareSlots = 5
    var batch: Int
    var rounds: [Round]

    var testDescription: String { name }

    var isTree: Bool {
        rounds.contains { round in if case .tree = round { true } else { false } }
    }
    var rotaryDims: Int { rotary ?? dim }
    var scoreScale: Double { scale ?? 1 / Double(dim).squareRoot() }
    var width: Int { (q + 2 * kv) * dim }

    /// Makes a case of one or more rounds.
    init(
        _ name: String, _ q: Int, _ kv: Int, _ dim: Int, rotary: Int? = nil, window: Int = 0,
        softcap: Double = 0, scale: Double? = nil, norm: Bool = false, tables: Bool = false, batch: Int = 1,
        _ rounds: Round...
    ) {
        self.name = name
        (self.q, self.kv, self.dim, self.rotary) = (q, kv, dim, rotary)
        (self.window, self.softcap, self.scale) = (window, softcap, scale)
        (hasNorm, hasTables, self.batch, self.rounds) = (norm, tables, batch, rounds)
    }
}

/// Repeatable numbers (SplitMix64).
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Numbers in -1...1.
    mutating func array(_ count: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = count
            var index = 0
            while index < count {
                buffer[index] = Float(next() >> 40) / Float(1 << 23) - 1
                index += 1
            }
        }
    }

    /// A number below `bound`.
    mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
}
