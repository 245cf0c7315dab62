/// A part of the input on its way through the normalizers.
struct NormalizedText {
    /// Well-formed UTF-8.
    var bytes: [UInt8]
    /// How many leading bytes come from the very first character of the input: what tells Metaspace with
    /// `prepend_scheme` "first" whether it is looking at the beginning.
    var originBytes: Int

    /// Puts text in front; it counts as part of the first character.
    mutating func prepend(_ text: [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes.insert(contentsOf: text, at: 0)
        if originBytes > 0 { originBytes += text.count }
    }

    /// Removes the scalars that `isRemoved` tells.
    mutating func removeAll(where isRemoved: (UInt32) -> Bool) {
        map { isRemoved($0) ? nil : $0 }
    }

    /// Replaces each scalar by another, or by none.
    mutating func map(_ transform: (UInt32) -> UInt32?) {
        rewrite { scalar, output in
            if let mapped = transform(scalar) { appendUTF8(mapped, to: &output) }
        }
    }

    /// Writes anew what each scalar becomes.
    mutating func rewrite(_ write: (UInt32, inout [UInt8]) -> Void) {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + bytes.count / 8)
        var origin = 0
        bytes.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            var at = 0
            while at < source.count {
                let (scalar, length) = decodeScalar(base, at)
                write(scalar, &output)
                at += length
                if at <= originBytes { origin = output.count }
            }
        }
        bytes = output
        originBytes = origin
    }

    /// Replaces ranges, which are in order and do not overlap, by one text.
    mutating func replace(_ ranges: [Range<Int>], by content: [UInt8]) {
        guard !ranges.isEmpty else { return }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + ranges.count * content.count)
        var origin = 0
        var from = 0
        for range in ranges {
            if originBytes > from { origin = output.count + min(originBytes, range.lowerBound) - from }
            output += bytes[from..<range.lowerBound]
            output += content
            // What replaces text takes the place of that text's last character.
            if range.upperBound <= originBytes { origin = output.count }
            from = range.upperBound
        }
        if originBytes > from { origin = output.count + originBytes - from }
        output += bytes[from...]
        bytes = output
        originBytes = origin
    }
}

/// Appends the UTF-8 of a scalar.
func appendUTF8(_ scalar: UInt32, to output: inout [UInt8]) {
    if scalar < 0x80 {
        output.append(UInt8(truncatingIfNeeded: scalar))
    } else if scalar < 0x800 {
        output.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
    } else if scalar < 0x10000 {
        output.append(UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
    } else {
        output.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 12 & 0x3F))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F))
        output.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
    }
}
