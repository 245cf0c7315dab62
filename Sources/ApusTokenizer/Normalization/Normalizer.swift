internal import ApusSupport

/// A step that rewrites the text before it is split.
///
/// Source: tokenizers, src/normalizers.
indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case form(UnicodeNormalForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case prepend([UInt8])
    case replace(TextPattern, content: [UInt8])
    case nmt
    case byteLevel
    case bert(cleansText: Bool, spacesChinese: Bool, stripsAccents: Bool, lowercases: Bool)

    /// Rewrites a text in place.
    func apply(_ text: inout NormalizedText) throws(ApusError) {
        switch self {
        case .sequence(let steps):
            for step in steps { try step.apply(&text) }
        case .form(let form): form.apply(&text)
        case .lowercase: Self.lowercase(&text)
        case .strip(let left, let right): Self.strip(&text, left, right)
        case .stripAccents: text.removeAll(where: UnicodeProperty.combiningMarks.contains)
        case .prepend(let content): text.prepend(content)
        case .replace(let pattern, let content):
            guard !text.bytes.isEmpty else { return }
            text.replace(try pattern.ranges(in: text.bytes), by: content)
        case .nmt: text.map(Self.nmt)
        case .byteLevel:
            text.rewrite { scalar, output in
                var bytes: [UInt8] = []
                appendUTF8(scalar, to: &bytes)
                for byte in bytes { ByteAlphabet.append(byte, to: &output) }
            }
        case .bert(let cleansText, let spacesChinese, let stripsAccents, let lowercases):
            if cleansText { text.map(Self.clean) }
            if spacesChinese { Self.spaceChinese(&text) }
            if stripsAccents {
                UnicodeNormalForm.nfd.apply(&text)
                text.removeAll { UnicodeTables.shared.category($0) == UnicodeCategory.mn.rawValue }
            }
            if lowercases { Self.lowercase(&text) }
        }
    }

    /// Whether a text is sure to stay as it is, so that it need not be copied.
    func leavesUnchanged(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        switch self {
        case .sequence(let steps): steps.allSatisfy { $0.leavesUnchanged(text) }
        case .form(let form): form.isSureOf(text)
        default: false
        }
    }

    private static func lowercase(_ text: inout NormalizedText) {
        text.rewrite { scalar, output in
            if scalar < 128 {
                output.append(UInt8(scalar) | ((65...90).contains(scalar) ? 0x20 : 0))
            } else if let value = Unicode.Scalar(scalar) {
                output.append(contentsOf: value.properties.lowercaseMapping.utf8)
            }
        }
    }

    private static func strip(_ text: inout NormalizedText, _ left: Bool, _ right: Bool) {
        var start = 0
        var end = text.bytes.count
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            if left { start = TextSpace.end(base, 0, end) }
            if right { end = TextSpace.start(base, end, from: start) }
        }
        if end < text.bytes.count { text.bytes.removeSubrange(end...) }
        if start > 0 { text.bytes.removeSubrange(..<start) }
        text.originBytes = min(max(0, text.originBytes - start), text.bytes.count)
    }

    private static func nmt(_ scalar: UInt32) -> UInt32? {
        switch scalar {
        case 1...8, 0xB, 0xE...0x1F, 0x7F, 0x8F, 0x9F: nil
        case 9, 0xA, 0xC, 0xD, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: 32
        default: scalar
        }
    }

    private static func clean(_ scalar: UInt32) -> UInt32? {
        if scalar == 9 || scalar == 10 || scalar == 13 { return 32 }
        // U+0085 is in no category that `unicode_categories` calls other but Cc, which goes first.
        let category = UnicodeTables.shared.category(scalar)
        if scalar == 0 || scalar == 0xFFFD || category >= UnicodeCategory.cc.rawValue {
            return category == UnicodeCategory.cn.rawValue ? scalar : nil
        }
        return ScalarSet.whitespace.contains(scalar) ? 32 : scalar
    }

    private static func spaceChinese(_ text: inout NormalizedText) {
        text.rewrite { scalar, output in
            switch scalar {
            case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
                0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
                output.append(32)
                appendUTF8(scalar, to: &output)
                output.append(32)
            default: appendUTF8(scalar, to: &output)
            }
        }
    }
}

/// Runs of Unicode white space.
enum TextSpace {
    /// The end of the white space that begins at `start`.
    static func end(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        var at = start
        while at < count, case let (scalar, length) = decodeScalar(text, at),
            ScalarSet.whitespace.contains(scalar)
        {
            at += length
        }
        return at
    }

    /// The start of the white space that ends at `end`, not before `from`.
    static func start(_ text: UnsafePointer<UInt8>, _ end: Int, from: Int) -> Int {
        var at = end
        while at > from {
            var before = at - 1
            while before > from, text[before] & 0xC0 == 0x80 { before -= 1 }
            guard ScalarSet.whitespace.contains(decodeScalar(text, before).scalar) else { break }
            at = before
        }
        return at
    }
}
