/// The four Unicode normalization forms.
///
/// Source: Unicode Standard Annex #15.
enum UnicodeNormalForm: Sendable {
    case nfc, nfd, nfkc, nfkd

    private var composes: Bool { self == .nfc || self == .nfkc }
    private var isCompatible: Bool { self == .nfkc || self == .nfkd }

    /// Brings a text into this form.
    func apply(_ text: inout NormalizedText) {
        let data = NormalizationData.shared
        let isUnchanged = text.bytes.withUnsafeBufferPointer { isSureOf($0) }
        if isUnchanged { return }
        var output: [UInt8] = []
        output.reserveCapacity(text.bytes.count + text.bytes.count / 8)
        text.bytes.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            var run: [UInt32] = []
            var at = 0
            while at < source.count {
                // ASCII in front of ASCII neither changes nor composes.
                if base[at] < 0x80, at + 1 < source.count, base[at + 1] < 0x80 {
                    if !run.isEmpty { flush(&run, data, &output) }
                    output.append(base[at])
                    at += 1
                    continue
                }
                let (scalar, length) = decodeScalar(base, at)
                at += length
                let decomposed = data.decompose(scalar, isCompatible, into: &run)
                // A starter that nothing composes with on its left ends the run before it.
                if decomposed == 1, run.count > 1, data.isBoundary(run[run.count - 1]) {
                    let last = run.removeLast()
                    flush(&run, data, &output)
                    run.append(last)
                }
            }
            flush(&run, data, &output)
        }
        if text.originBytes > 0 { text.originBytes = output.first.map(utf8Length) ?? 0 }
        text.bytes = output
    }

    /// Whether a look at each scalar alone shows that a text is in this form.
    func isSureOf(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = text.baseAddress else { return true }
        let flags = NormalizationData.shared.flags
        let bit: UInt8 =
            switch self {
            case .nfc: NormalizationData.notNFC
            case .nfd: NormalizationData.notNFD
            case .nfkc: NormalizationData.notNFKC
            case .nfkd: NormalizationData.notNFKD
            }
        var at = 0
        while at < text.count {
            if base[at] < 0x80 {
                at &+= 1
                continue
            }
            let (scalar, length) = decodeScalar(base, at)
            if flags[scalar] & bit != 0 { return false }
            at &+= length
        }
        return true
    }

    private func flush(_ run: inout [UInt32], _ data: NormalizationData, _ output: inout [UInt8]) {
        if run.count > 1 { data.reorder(&run) }
        if composes, !run.isEmpty { data.compose(&run) }
        for scalar in run { appendUTF8(scalar, to: &output) }
        run.removeAll(keepingCapacity: true)
    }
}

/// The tables of normalization.
struct NormalizationData: Sendable {
    static let shared = NormalizationData()
    static let notNFC: UInt8 = 1
    static let notNFD: UInt8 = 2
    static let notNFKC: UInt8 = 4
    static let notNFKD: UInt8 = 8
    /// Has a combining class, or composes with what is before it.
    static let joinsBefore: UInt8 = 16

    let flags: ScalarTable
    private let classes = ScalarTable(runs: UnicodeData.combiningClasses)
    private let canonical: [UInt32: [UInt32]]
    private let compatible: [UInt32: [UInt32]]
    private let composites: [UInt64: UInt32]

    private init() {
        canonical = Self.mappings(UnicodeData.canonicalDecompositions)
        compatible = Self.mappings(UnicodeData.compatibilityDecompositions)
        var composites: [UInt64: UInt32] = [:]
        var flags = [UInt8](repeating: 0, count: 0x110000)
        for (composite, pair) in Self.mappings(UnicodeData.compositions) where pair.count == 2 {
            composites[UInt64(pair[0]) << 32 | UInt64(pair[1])] = composite
            flags[Int(pair[1])] |= Self.joinsBefore
        }
        let isComposite = Set(composites.values)
        for scalar in canonical.keys {
            flags[Int(scalar)] |= Self.notNFD | Self.notNFKD
            if !isComposite.contains(scalar) { flags[Int(scalar)] |= Self.notNFC | Self.notNFKC }
        }
        for scalar in compatible.keys { flags[Int(scalar)] |= Self.notNFKC | Self.notNFKD }
        for scalar in 0xAC00..<0xAC00 + 11172 { flags[scalar] |= Self.notNFD | Self.notNFKD }
        for scalar in 0x1161...0x1175 { flags[scalar] |= Self.joinsBefore }
        for scalar in 0x11A8...0x11C2 { flags[scalar] |= Self.joinsBefore }
        for scalar in 0..<0x110000 {
            if classes[UInt32(scalar)] != 0 {
                flags[scalar] |= Self.joinsBefore | Self.notNFD | Self.notNFKD
            }
            if flags[scalar] & Self.joinsBefore != 0 { flags[scalar] |= Self.notNFC | Self.notNFKC }
        }
        self.flags = ScalarTable(flags)
        self.composites = composites
    }

    private static func mappings(_ base64: String) -> [UInt32: [UInt32]] {
        var reader = UnicodeData.Reader(base64)
        var result: [UInt32: [UInt32]] = [:]
        var scalar: UInt32 = 0
        while !reader.isAtEnd {
            scalar += reader.integer()
            let count = reader.integer()
            result[scalar] = (0..<count).map { _ in UInt32(Int64(scalar) + Int64(reader.signedInteger())) }
        }
        return result
    }

    /// Whether nothing before a scalar can reorder or compose with it.
    func isBoundary(_ scalar: UInt32) -> Bool { flags[scalar] & Self.joinsBefore == 0 }

    /// Appends the full decomposition of a scalar and returns its length.
    func decompose(_ scalar: UInt32, _ isCompatible: Bool, into run: inout [UInt32]) -> Int {
        let bit = isCompatible ? Self.notNFKD : Self.notNFD
        if scalar < 0xA0 || flags[scalar] & bit == 0 {
            run.append(scalar)
            return 1
        }
        if scalar >= 0xAC00, scalar < 0xAC00 + 11172 {
            let index = scalar - 0xAC00
            run.append(0x1100 + index / 588)
            run.append(0x1161 + index % 588 / 28)
            if index % 28 > 0 { run.append(0x11A7 + index % 28) }
            return index % 28 > 0 ? 3 : 2
        }
        let mapping = (isCompatible ? compatible[scalar] : nil) ?? canonical[scalar] ?? [scalar]
        // A run that is flushed at this scalar needs its boundary seen, so each part is looked at in turn.
        run.append(contentsOf: mapping)
        return mapping.count
    }

    /// Sorts marks by combining class, keeping the order of equals.
    func reorder(_ run: inout [UInt32]) {
        var start = 0
        while start < run.count {
            guard classes[run[start]] != 0 else {
                start += 1
                continue
            }
            var end = start + 1
            while end < run.count, classes[run[end]] != 0 { end += 1 }
            if end - start > 1 {
                let sorted = run[start..<end].enumerated().sorted {
                    let (a, b) = (classes[$0.element], classes[$1.element])
                    return a != b ? a < b : $0.offset < $1.offset
                }
                run.replaceSubrange(start..<end, with: sorted.map(\.element))
            }
            start = end
        }
    }

    /// Composes each mark or letter with the starter before it where a composite exists.
    func compose(_ run: inout [UInt32]) {
        var output = 0
        var starter = -1
        var lastClass = 0
        for scalar in run {
            let combiningClass = Int(classes[scalar])
            // A mark is blocked if one of its class or higher stands between it and the starter.
            if starter >= 0, lastClass < combiningClass || lastClass == 0 && output == starter + 1,
                let composite = composite(run[starter], scalar)
            {
                run[starter] = composite
                continue
            }
            if combiningClass == 0 { starter = output }
            lastClass = combiningClass
            run[output] = scalar
            output += 1
        }
        run.removeSubrange(output...)
    }

    private func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if first >= 0x1100, first < 0x1113, second >= 0x1161, second < 0x1176 {
            return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
        }
        if first >= 0xAC00, first < 0xAC00 + 11172, (first - 0xAC00) % 28 == 0, second > 0x11A7,
            second < 0x11C3
        {
            return first + second - 0x11A7
        }
        return composites[UInt64(first) << 32 | UInt64(second)]
    }
}
