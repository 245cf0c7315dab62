/// A set of Unicode scalars, as a class in a regular expression or a property describes it.
///
/// ASCII is held as bits. What lies beyond is, for almost every class that is used, a union of general
/// categories, so that one table look-up and one shift decide; the rest is a small tree.
struct ScalarSet: Sendable {
    private(set) var low: UInt64
    private(set) var high: UInt64
    private(set) var wide: Wide

    /// The part of a set outside ASCII.
    indirect enum Wide: Sendable {
        case categories(UInt32)
        case ranges([ClosedRange<UInt32>])
        case script(UInt8)
        case property(UnicodeProperty)
        case union(Wide, Wide)
        case intersection(Wide, Wide)
        case complement(Wide)

        func contains(_ scalar: UInt32) -> Bool {
            switch self {
            case .categories(let mask): mask >> UInt32(UnicodeTables.shared.category(scalar)) & 1 != 0
            case .ranges(let ranges): ranges.contains { $0.contains(scalar) }
            case .script(let script): UnicodeScripts.shared.script(scalar) == script
            case .property(let property): property.contains(scalar)
            case .union(let a, let b): a.contains(scalar) || b.contains(scalar)
            case .intersection(let a, let b): a.contains(scalar) && b.contains(scalar)
            case .complement(let a): !a.contains(scalar)
            }
        }

        var isEmpty: Bool {
            switch self {
            case .categories(let mask): mask == 0
            case .ranges(let ranges): ranges.isEmpty
            default: false
            }
        }
    }

    static let empty = ScalarSet(low: 0, high: 0, wide: .categories(0))
    static let all = ScalarSet(low: .max, high: .max, wide: .categories(.max))

    private init(low: UInt64, high: UInt64, wide: Wide) {
        self.low = low
        self.high = high
        self.wide = wide
    }

    /// All scalars of some general categories.
    init(_ categories: UnicodeCategory.Mask) {
        self.init(wide: .categories(categories.rawValue))
    }

    /// All scalars of a script, by its index in the table of scripts.
    init(script: UInt8) {
        self.init(wide: .script(script))
    }

    /// All scalars of a stored property.
    init(_ property: UnicodeProperty) {
        self.init(wide: .property(property))
    }

    private init(wide: Wide) {
        self.init(low: 0, high: 0, wide: wide)
        for scalar in UInt32(0)..<128 where wide.contains(scalar) { insertASCII(scalar) }
    }

    /// The scalars of a range of code points.
    init(_ range: ClosedRange<UInt32>) {
        self.init(low: 0, high: 0, wide: .categories(0))
        if range.lowerBound < 128 {
            for scalar in range.lowerBound...min(range.upperBound, 127) { insertASCII(scalar) }
        }
        if range.upperBound >= 128 { wide = .ranges([max(range.lowerBound, 128)...range.upperBound]) }
    }

    init(_ scalars: Unicode.Scalar...) {
        self = scalars.reduce(.empty) { $0.union(ScalarSet($1.value...$1.value)) }
    }

    private mutating func insertASCII(_ scalar: UInt32) {
        if scalar < 64 { low |= 1 << UInt64(scalar) } else { high |= 1 << UInt64(scalar - 64) }
    }

    func contains(_ scalar: UInt32) -> Bool {
        if scalar < 128 { return (scalar < 64 ? low : high) >> UInt64(scalar & 63) & 1 != 0 }
        return wide.contains(scalar)
    }

    func union(_ other: ScalarSet) -> ScalarSet {
        let wide: Wide =
            switch (wide, other.wide) {
            case (let a, let b) where b.isEmpty: a
            case (let a, let b) where a.isEmpty: b
            case (.categories(let a), .categories(let b)): .categories(a | b)
            case (.ranges(let a), .ranges(let b)): .ranges(a + b)
            case (let a, let b): .union(a, b)
            }
        return ScalarSet(low: low | other.low, high: high | other.high, wide: wide)
    }

    func intersection(_ other: ScalarSet) -> ScalarSet {
        let wide: Wide =
            switch (wide, other.wide) {
            case (let a, let b) where a.isEmpty || b.isEmpty: .categories(0)
            case (.categories(let a), .categories(let b)): .categories(a & b)
            case (let a, let b): .intersection(a, b)
            }
        return ScalarSet(low: low & other.low, high: high & other.high, wide: wide)
    }

    var inverted: ScalarSet {
        let inverse: Wide =
            switch wide {
            case .categories(let mask): .categories(~mask)
            case .complement(let a): a
            case let a where a.isEmpty: .categories(.max)
            case let a: .complement(a)
            }
        return ScalarSet(low: ~low, high: ~high, wide: inverse)
    }

    /// The bytes that a scalar of this set can begin with.
    var firstBytes: ByteSet { ByteSet(low: low, high: high, nonASCII: !wide.isEmpty) }

    /// The one ASCII character that this set is, nil if it holds more, fewer or others.
    var singleASCII: UInt8? {
        guard wide.isEmpty, low.nonzeroBitCount + high.nonzeroBitCount == 1 else { return nil }
        return low != 0 ? UInt8(low.trailingZeroBitCount) : UInt8(64 + high.trailingZeroBitCount)
    }

    /// The set with every scalar that differs from a member by case alone (simple folding).
    var caseFolded: ScalarSet {
        var result = self
        for scalar in UInt32(0)..<128 where contains(scalar) {
            for other in caseVariants(scalar) { result = result.union(ScalarSet(other...other)) }
        }
        return result.union(ScalarSet.folded(wide))
    }

    private static func folded(_ wide: Wide) -> ScalarSet {
        switch wide {
        case .categories(let mask):
            let cased = UnicodeCategory.Mask.casedLetters
            return mask & cased.rawValue == 0 ? .empty : ScalarSet(cased)
        case .ranges(let ranges):
            var result = ScalarSet.empty
            // Every cased scalar lies below U+1EA00; a range is cut there so that folding stays cheap.
            for range in ranges where range.lowerBound < 0x1EA00 {
                for scalar in range.lowerBound...min(range.upperBound, 0x1EA00) {
                    for other in caseVariants(scalar) { result = result.union(ScalarSet(other...other)) }
                }
            }
            return result
        case .union(let a, let b): return folded(a).union(folded(b))
        case .script, .property, .intersection, .complement: return .empty
        }
    }
}

/// The scalars other than `scalar` that fold to the same one.
func caseVariants(_ scalar: UInt32) -> [UInt32] {
    guard let value = Unicode.Scalar(scalar) else { return [] }
    func single(_ text: String) -> UInt32? {
        let scalars = text.unicodeScalars
        return scalars.count == 1 ? scalars.first?.value : nil
    }
    var found: Set<UInt32> = []
    let upper = single(value.properties.uppercaseMapping) ?? scalar
    for candidate in [scalar, upper] {
        guard let candidate = Unicode.Scalar(candidate) else { continue }
        for text in [candidate.properties.lowercaseMapping, candidate.properties.uppercaseMapping] {
            if let other = single(text) { found.insert(other) }
        }
    }
    // Letters outside their alphabet that fold into it: long s, Kelvin sign, Angstrom sign, final sigma, ohm.
    let extra: [[UInt32]] = [
        [0x73, 0x53, 0x17F], [0x6B, 0x4B, 0x212A], [0xE5, 0xC5, 0x212B], [0x3C3, 0x3A3, 0x3C2],
        [0x3C9, 0x3A9, 0x2126], [0x3BC, 0x39C, 0xB5], [0x3B8, 0x398, 0x3D1, 0x3F4], [0x3B2, 0x392, 0x3D0],
        [0x3B5, 0x395, 0x3F5], [0x3BA, 0x39A, 0x3F0], [0x3C0, 0x3A0, 0x3D6], [0x3C1, 0x3A1, 0x3F1],
        [0x3C6, 0x3A6, 0x3D5], [0xDF, 0x1E9E], [0x1E61, 0x1E60, 0x1E9B], [0x3B9, 0x399, 0x345, 0x1FBE],
    ]
    for group in extra where group.contains(scalar) { found.formUnion(group) }
    found.remove(scalar)
    return found.sorted()
}
