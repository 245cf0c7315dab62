import ApusSupport

/// How the numbers of one weight [N, K] are stored: as codes of few bits, with a scale for each group of them.
///
/// A weight is (code − zero)·scale; codes are unsigned.
public struct WeightFormat: Sendable, Hashable {
    /// Bits of a code: 4 or 8.
    public var bits: Int
    /// Consecutive inputs that share a scale; nil is one scale for all inputs of an output feature.
    public var groupSize: Int?
    /// Whether zero is the middle code, rather than one that each group chooses.
    public var isSymmetric: Bool

    /// Describes a format.
    public init(bits: Int, groupSize: Int? = nil, isSymmetric: Bool = true) {
        self.bits = bits
        self.groupSize = groupSize
        self.isSymmetric = isSymmetric
    }

    /// 8 bits with a scale for each output feature.
    public static let int8 = WeightFormat(bits: 8)

    /// 4 bits in groups.
    public static func int4(groupSize: Int, isSymmetric: Bool = true) -> WeightFormat {
        WeightFormat(bits: 4, groupSize: groupSize, isSymmetric: isSymmetric)
    }

    /// The group sizes that there are kernels for.
    public static let groupSizes = [128, 64, 32]

    /// The largest code.
    var highestCode: Int { 1 << bits - 1 }
    /// The code that stands for zero where groups do not choose one.
    var middleCode: Int { 1 << (bits - 1) }

    /// Number of scales of an output feature with `k` inputs.
    func groupCount(_ k: Int) -> Int { groupSize.map { k / $0 } ?? 1 }
}

/// What a user decides about the quantisation of a model.
public struct QuantizationRecipe: Sendable, Hashable {
    /// The format of all linear layers but the head.
    public var format: WeightFormat
    /// The format of the output head; nil leaves it as it is, and tied to the embedding if it was.
    public var head: WeightFormat?
    /// Whether a weight whose inputs are no multiple of the group size gets the largest group of
    /// ``WeightFormat/groupSizes`` that divides them, rather than being an error.
    public var fitsGroups: Bool
    /// Windows of calibration text that are run.
    public var calibrationWindows: Int
    /// Tokens of each, fewer if the model has fewer positions.
    public var calibrationContext: Int
    /// Largest size of a file of weights, in bytes.
    public var shardBytes: Int

    /// Makes a recipe.
    public init(
        format: WeightFormat = .int4(groupSize: 128), head: WeightFormat? = .int8, fitsGroups: Bool = false,
        calibrationWindows: Int = 128, calibrationContext: Int = 512, shardBytes: Int = 4_000_000_000
    ) {
        self.format = format
        self.head = head
        self.fitsGroups = fitsGroups
        self.calibrationWindows = calibrationWindows
        self.calibrationContext = calibrationContext
        self.shardBytes = shardBytes
    }

    /// Checks what can be checked without a model.
    func validate() throws(ApusError) {
        for format in [format, head].compactMap({ $0 }) {
            guard [4, 8].contains(format.bits) else {
                throw ApusError(.unsupported, "format: expected 4 or 8 bits, got \(format.bits)")
            }
            guard format.bits == 4 || (format.isSymmetric && format.groupSize == nil) else {
                throw ApusError(
                    .unsupported,
                    "format: 8 bits come with one scale for each output feature and without zero points; leave group size "
                        + "and zero points out")
            }
            if format.bits == 4, !WeightFormat.groupSizes.contains(format.groupSize ?? 0) {
                throw ApusError(
                    .unsupported,
                    "group size: expected 128, 64 or 32, got \(format.groupSize.map(String.init) ?? "none")")
            }
        }
        for (name, value) in [
            ("calibration windows", calibrationWindows), ("calibration context", calibrationContext),
            ("shard bytes", shardBytes),
        ] where value < 1 {
            throw ApusError(.invalidInput, "\(name): expected at least 1, got \(value)")
        }
    }

    /// The format of a weight with `k` inputs.
    /// - Throws: `.invalidInput` if the group size does not divide them and none is to be looked for.
    func format(of name: String, inputs k: Int, isHead: Bool) throws(ApusError) -> WeightFormat? {
        guard var chosen = isHead ? head : format else { return nil }
        guard let group = chosen.groupSize, k % group != 0 else { return chosen }
        let fitting = WeightFormat.groupSizes.first { $0 < group && k % $0 == 0 }
        guard fitsGroups, let fitting else {
            let advice =
                fitting.map { "choose group size \($0), or let such weights have groups that fit" }
                ?? "no group size of 128, 64 and 32 divides it; choose format int8"
            throw ApusError(
                .invalidInput,
                "'\(name)': expected a multiple of the group size \(group) as the number of inputs, got \(k); \(advice)"
            )
        }
        chosen.groupSize = fitting
        return chosen
    }
}
