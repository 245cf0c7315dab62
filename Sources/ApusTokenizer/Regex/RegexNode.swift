/// The tree of a parsed regular expression.
indirect enum RegexNode {
    /// One scalar out of a set.
    case set(ScalarSet)
    case sequence([RegexNode])
    case alternation([RegexNode])
    case repetition(RegexNode, min: Int, max: Int?, mode: RepetitionMode)
    /// A group that keeps its first match: `(?>…)`.
    case atomic(RegexNode)
    case look(RegexNode, behind: Bool, negative: Bool)
    case assertion(Assertion)

    static var empty: RegexNode { .sequence([]) }

    enum RepetitionMode {
        case greedy, lazy, possessive
    }

    /// A condition on a position that consumes nothing.
    enum Assertion: Int32 {
        case textStart, textEnd, textEndOrFinalNewline, lineStart, lineEnd, wordBoundary, notWordBoundary
    }

    /// Whether this can match without consuming anything.
    var isNullable: Bool {
        switch self {
        case .set: false
        case .sequence(let nodes): nodes.allSatisfy(\.isNullable)
        case .alternation(let nodes): nodes.contains(where: \.isNullable)
        case .repetition(let node, let min, _, _): min == 0 || node.isNullable
        case .atomic(let node): node.isNullable
        case .look, .assertion: true
        }
    }

    /// The fewest and the most scalars that this can match, the latter nil if there is no bound.
    var length: (min: Int, max: Int?) {
        switch self {
        case .set: (1, 1)
        case .look, .assertion: (0, 0)
        case .atomic(let node): node.length
        case .sequence(let nodes):
            nodes.reduce((0, 0)) { sum, node in
                let next = node.length
                return (sum.0 + next.min, sum.1.flatMap { a in next.max.map { a + $0 } })
            }
        case .alternation(let nodes):
            nodes.dropFirst().reduce(nodes.first?.length ?? (0, 0)) { best, node in
                let next = node.length
                return (min(best.0, next.min), best.1.flatMap { a in next.max.map { max(a, $0) } })
            }
        case .repetition(let node, let least, let most, _):
            (node.length.min * least, most.flatMap { count in node.length.max.map { $0 * count } })
        }
    }

    /// The bytes that a match can begin with; meaningless for a match that may be empty.
    var firstBytes: ByteSet {
        switch self {
        case .set(let set): return set.firstBytes
        case .sequence(let nodes):
            var result = ByteSet()
            for node in nodes {
                // A position's condition says nothing of the byte after it.
                if case .look = node { continue }
                if case .assertion = node { continue }
                result.formUnion(node.firstBytes)
                if !node.isNullable { break }
            }
            return result
        case .alternation(let nodes):
            return nodes.reduce(into: ByteSet()) { $0.formUnion($1.firstBytes) }
        case .repetition(let node, _, _, _), .atomic(let node): return node.firstBytes
        case .look, .assertion: return ByteSet()
        }
    }
}

/// A set of byte values.
struct ByteSet: Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// All bytes from 0x80 up, which begin or continue a scalar outside ASCII.
    static let nonASCII: ByteSet = {
        var set = ByteSet()
        set.words = (0, 0, .max, .max)
        return set
    }()

    static let all: ByteSet = {
        var set = ByteSet()
        set.words = (.max, .max, .max, .max)
        return set
    }()

    init() {}

    /// The ASCII bytes of two words of bits, and all others if `nonASCII`.
    init(low: UInt64, high: UInt64, nonASCII: Bool) {
        words = (low, high, nonASCII ? .max : 0, nonASCII ? .max : 0)
    }

    @inline(__always) func contains(_ byte: UInt8) -> Bool {
        let word =
            byte < 128 ? (byte < 64 ? words.0 : words.1) : (byte < 192 ? words.2 : words.3)
        return (word >> UInt64(byte & 63)) & 1 != 0
    }

    mutating func formUnion(_ other: ByteSet) {
        words.0 |= other.words.0
        words.1 |= other.words.1
        words.2 |= other.words.2
        words.3 |= other.words.3
    }
}
