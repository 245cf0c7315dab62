/// How the numbers of a linear layer's weight W[N, K] are stored:
/// W[n, k] = (code[n, k] − zero[g, n]) · scale[g, n], where g is the group of column k.
public struct QuantizationScheme: Sendable, Hashable {
    /// Bits of a code: 4 or 8.
    public var bits: Int
    /// Columns that share a scale; nil for one scale a row.
    public var groupSize: Int?
    /// Whether groups have a zero point; without one it is 2^(bits−1).
    public var hasZeroPoints: Bool

    /// Makes a scheme.
    public init(bits: Int, groupSize: Int?, hasZeroPoints: Bool = false) {
        self.bits = bits
        self.groupSize = groupSize
        self.hasZeroPoints = hasZeroPoints
    }

    /// Number of groups of a row of K columns; nil if they are not all of one size.
    func groupCount(columns: Int) -> Int? {
        guard let groupSize else { return 1 }
        guard groupSize > 0, columns % groupSize == 0 else { return nil }
        return columns / groupSize
    }
}

/// What a user asks to be quantised where weights are random.
public struct QuantizationRequest: Sendable, Hashable {
    /// The scheme of all linear layers but the output head.
    public var layers: QuantizationScheme
    /// The scheme of the output head, which then has a weight of its own even if the config ties it to the embedding;
    /// nil leaves it as it is.
    public var head: QuantizationScheme?

    /// Makes a request.
    public init(layers: QuantizationScheme, head: QuantizationScheme? = nil) {
        self.layers = layers
        self.head = head
    }
}
