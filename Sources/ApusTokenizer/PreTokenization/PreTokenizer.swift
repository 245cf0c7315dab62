internal import ApusSupport

/// A step that cuts the text into the pieces the model sees.
///
/// Source: tokenizers, src/pre_tokenizers.
indirect enum PreTokenizer: Sendable {
    case sequence([PreTokenizer])
    case split(TextPattern, SplitBehavior, inverts: Bool)
    case byteLevel(addsPrefixSpace: Bool, usesPattern: Bool)
    case metaspace(replacement: Unicode.Scalar, scheme: PrependScheme, splits: Bool)
    case whitespace
    case whitespaceSplit
    case digits(individual: Bool)
    case punctuation(SplitBehavior)
    case bert
    case delimiter(Unicode.Scalar)
    case fixedLength(Int)

    /// When Metaspace puts its sign in front of a piece.
    enum PrependScheme: String, Sendable, CaseIterable {
        case first, never, always
    }

    /// The steps one after the other, without sequences.
    var flattened: [PreTokenizer] {
        if case .sequence(let steps) = self { return steps.flatMap(\.flattened) }
        return [self]
    }

    /// Cuts a text.
    ///
    /// The bytes of a last ByteLevel stay raw if `keepsBytes`, for a model that reads them so.
    static func apply(_ steps: [PreTokenizer], to text: inout SplitText, keepsBytes: Bool) throws(ApusError) {
        for (number, step) in steps.enumerated() {
            try step.apply(&text, keepsBytes: keepsBytes && number == steps.count - 1)
        }
    }

    private func apply(_ text: inout SplitText, keepsBytes: Bool) throws(ApusError) {
        switch self {
        case .sequence(let steps): try Self.apply(steps, to: &text, keepsBytes: keepsBytes)
        case .split(let pattern, let behavior, let inverts):
            try text.split { bytes, piece, output throws(ApusError) in
                var collector = SplitCollector(piece, behavior, inverts: inverts)
                try pattern.forEachMatch(in: bytes) { collector.match($0, $1, &output) }
                collector.finish(&output)
            }
        case .byteLevel(let addsPrefixSpace, let usesPattern):
            try byteLevel(&text, addsPrefixSpace, usesPattern, keepsBytes)
        case .metaspace(let replacement, let scheme, let splits):
            try metaspace(&text, replacement, scheme, splits)
        case .whitespace: try words(&text)
        case .whitespaceSplit: try split(&text, .removed, ScalarSet.whitespace.contains)
        case .digits(let individual):
            try split(&text, individual ? .isolated : .contiguous, UnicodeProperty.numeric.contains)
        case .punctuation(let behavior): try split(&text, behavior, UnicodeProperty.punctuation.contains)
        case .bert:
            try split(&text, .removed, ScalarSet.whitespace.contains)
            try split(&text, .isolated, UnicodeProperty.punctuation.contains)
        case .delimiter(let scalar): try split(&text, .removed) { $0 == scalar.value }
        case .fixedLength(let length): try fixedLength(&text, length)
        }
    }

    /// Splits at single scalars.
    private func split(
        _ text: inout SplitText, _ behavior: SplitBehavior, _ isMatch: (UInt32) -> Bool
    ) throws(ApusError) {
        try text.split { bytes, piece, output throws(ApusError) in
            guard let base = bytes.baseAddress else { return }
            var collector = SplitCollector(piece, behavior)
            var at = 0
            while at < bytes.count {
                let (scalar, length) = decodeScalar(base, at)
                if isMatch(scalar) { collector.match(at, at + length, &output) }
                at += length
            }
            collector.finish(&output)
        }
    }

    private func byteLevel(
        _ text: inout SplitText, _ addsPrefixSpace: Bool, _ usesPattern: Bool, _ keepsBytes: Bool
    ) throws(ApusError) {
        if addsPrefixSpace {
            try text.rewrite(where: { $0.first != 32 }) { text throws(ApusError) in
                if text.bytes.first != 32 { text.prepend([32]) }
            }
        }
        if usesPattern {
            try text.split { bytes, piece, output throws(ApusError) in
                var collector = SplitCollector(piece, .isolated)
                WordScanner.gpt2.forEachMatch(in: bytes) { collector.match($0, $1, &output) }
                collector.finish(&output)
            }
        }
        if keepsBytes {
            text.isByteLevel = true
        } else {
            try text.rewrite(where: { _ in true }) { text throws(ApusError) in
                try Normalizer.byteLevel.apply(&text)
            }
        }
    }

    private func metaspace(
        _ text: inout SplitText, _ replacement: Unicode.Scalar, _ scheme: PrependScheme, _ splits: Bool
    ) throws(ApusError) {
        let sign = Array(String(Character(replacement)).utf8)
        try text.rewrite(where: { _ in true }) { text throws(ApusError) in
            if replacement != " " {
                text.replace(try TextPattern.literal([32]).ranges(in: text.bytes), by: sign)
            }
            let isPrepended = scheme == .always || scheme == .first && text.originBytes > 0
            if isPrepended, !text.bytes.starts(with: sign) { text.prepend(sign) }
        }
        guard splits else { return }
        try text.split { bytes, piece, output throws(ApusError) in
            var collector = SplitCollector(piece, .mergedWithNext)
            try TextPattern.literal(sign).forEachMatch(in: bytes) { collector.match($0, $1, &output) }
            collector.finish(&output)
        }
    }

    /// `\w+|[^\w\s]+` as Rust's regex reads it; what lies between is dropped.
    private func words(_ text: inout SplitText) throws(ApusError) {
        try text.split { bytes, piece, output throws(ApusError) in
            guard let base = bytes.baseAddress else { return }
            func kind(_ scalar: UInt32) -> Int {
                UnicodeProperty.regexWord.contains(scalar) ? 1 : ScalarSet.whitespace.contains(scalar) ? 0 : 2
            }
            var collector = SplitCollector(piece, .removed, inverts: true)
            var at = 0
            while at < bytes.count {
                let start = at
                let (scalar, length) = decodeScalar(base, at)
                at += length
                let wanted = kind(scalar)
                while at < bytes.count, case let (next, length) = decodeScalar(base, at), kind(next) == wanted
                {
                    at += length
                }
                if wanted != 0 { collector.match(start, at, &output) }
            }
            collector.finish(&output)
        }
    }

    private func fixedLength(_ text: inout SplitText, _ length: Int) throws(ApusError) {
        try text.split { bytes, piece, output throws(ApusError) in
            var collector = SplitCollector(piece, .isolated)
            var at = 0
            while at < bytes.count {
                let start = at
                for _ in 0..<length where at < bytes.count { at += utf8Length(bytes[at]) }
                collector.match(start, at, &output)
            }
            collector.finish(&output)
        }
    }
}
