/// One attention and what is done to it, round after round.
package struct PluginCase: CustomStringConvertible, Sendable {
    /// One call of the plugin; counts are new tokens of each sequence.
    package enum Round: Sendable {
        /// New sequences, padded to the longest.
        case prefill([Int])
        /// No call: the cache is given that many tokens of each sequence.
        case fill([Int])
        /// More tokens of each sequence, padded to `width`.
        case chunk([Int], width: Int)
        /// One token of each sequence; a sequence of count 0 has nothing to do.
        case decode([Int])
        /// Draft tokens with a random mask, of which the last `padding` are padding; forgotten after the round.
        case tree(Int, padding: Int = 0)
    }

    package var name: String
    package var q: Int
    package var kv: Int
    package var dim: Int
    /// Rotated dimensions; nil is all of them.
    package var rotary: Int?
    package var window = 0
    package var softcap = 0.0
    package var scale: Double?
    package var hasNorm = false
    /// A rotary table for each sequence.
    package var hasTables = false
    /// Slots beyond those that are needed.
    package var spareSlots = 5
    /// Rows of a call that are compared, for each sequence; the first and last are among them.
    package var rowLimit = 24
    package var batch: Int
    package var rounds: [Round]

    /// Its name.
    package var description: String { name }

    package var isTree: Bool {
        rounds.contains { round in if case .tree = round { true } else { false } }
    }
    /// A number that differs between cases: where what takes turns begins.
    package var turn: Int { name.utf8.reduce(0) { $0 + Int($1) } }
    /// Dimensions of a head that rotate.
    package var rotaryDims: Int { rotary ?? dim }
    package var scoreScale: Double { scale ?? 1 / Double(dim).squareRoot() }
    package var width: Int { (q + 2 * kv) * dim }

    /// Makes a case of one or more rounds.
    package init(
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
