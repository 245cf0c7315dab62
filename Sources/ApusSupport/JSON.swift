/// One value of a parsed JSON document: a view of two words into a flat tape, cheap to copy and to pass on.
///
/// The document owns its bytes and a tape of 16-byte nodes, and lives as long as any view of it. Strings and
/// numbers are decoded when they are asked for, so a file of which three keys are read costs one scan.
///
///     let config = try JSON.parse(contentsOfFile: "config.json")
///     let width = config["hidden_size"]?.int
public struct JSON: Sendable {
    /// The six kinds of JSON value.
    public enum Kind: String, Sendable {
        case null, bool, number, string, array, object
    }

    let document: JSONDocument
    let index: Int

    var node: JSONNode { document.nodes[index] }

    /// What this value is.
    public var kind: Kind {
        switch node.tag {
        case .null: .null
        case .true, .false: .bool
        case .number: .number
        case .string, .escapedString: .string
        case .array: .array
        case .object: .object
        }
    }

    /// The file or other source that the document was read from, as errors name it.
    public var source: String { document.source }

    /// Whether this value is `null`.
    public var isNull: Bool { node.tag == .null }

    /// The value of a `true` or `false`, nil for anything else.
    public var bool: Bool? {
        switch node.tag {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The value of a number that is a whole number: any integer literal that fits, or an integral literal such
    /// as `1e3` or `4.0` of magnitude at most 2⁵³, where doubles are exact.
    public var int: Int? {
        guard node.tag == .number else { return nil }
        if let value = smallInteger { return value }
        guard let text = numberText else { return nil }
        if let value = Int(text) { return value }
        guard !isIntegerLiteral, let value = double, value.magnitude <= 9_007_199_254_740_992,
            value == value.rounded(.towardZero)
        else { return nil }
        return Int(value)
    }

    /// The value of a number; `NaN`, `Infinity` and `-Infinity` are numbers, as in Python's `json`.
    public var double: Double? {
        guard node.tag == .number, let text = numberText else { return nil }
        switch text {
        case "NaN": return .nan
        case "Infinity": return .infinity
        case "-Infinity": return -.infinity
        default: return Double(text)
        }
    }

    /// The text of a string, nil for anything else.
    public var string: String? {
        withUTF8 { String(decoding: $0, as: UTF8.self) }
    }

    /// The value of up to eighteen digits and nothing else: no string has to be made for those.
    private var smallInteger: Int? {
        let node = node
        guard node.length <= 18 else { return nil }
        return document.bytes.withUnsafeBufferPointer { bytes in
            var value = 0
            for byte in bytes[Int(node.offset)..<Int(node.offset) + Int(node.length)] {
                guard byte >= 48, byte <= 57 else { return nil }
                value = value * 10 + Int(byte) - 48
            }
            return value
        }
    }

    /// Whether this is a number written with digits alone, so without a fraction or an exponent.
    var isIntegerLiteral: Bool {
        node.tag == .number
            && numberText?.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || ($0 >= 48 && $0 <= 57) }) == true
    }

    private var numberText: String? {
        let node = node
        return document.bytes.withUnsafeBufferPointer {
            String(decoding: $0[Int(node.offset)..<Int(node.offset) + Int(node.length)], as: UTF8.self)
        }
    }

    /// Calls `body` with the decoded UTF-8 of a string, without a copy when it holds no escapes.
    ///
    /// The buffer is valid only during the call. Returns nil, without a call, if this is not a string.
    public func withUTF8<R, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R? {
        let node = node
        switch node.tag {
        case .string:
            return try document.bytes.withUnsafeBufferPointer { bytes throws(E) -> R in
                let start = Int(node.offset)
                return try body(UnsafeBufferPointer(rebasing: bytes[start..<start + Int(node.length)]))
            }
        case .escapedString:
            let decoded = document.unescaped(node)
            return try decoded.withUnsafeBufferPointer(body)
        default:
            return nil
        }
    }
}

/// The kind of a tape node; strings that need no decoding are told apart from those that do.
enum JSONTag: UInt8, Sendable {
    case null, `true`, `false`, number, string, escapedString, array, object
}

/// One node of the tape: a scalar, or a container followed by its contents.
struct JSONNode: Sendable {
    var tag: JSONTag
    /// Where the value starts in the bytes; for a string, after its quote.
    var offset: UInt32
    /// Bytes of a scalar's text; elements or members of a container.
    var length: UInt32
    /// The tape index of whatever follows this value and all that it contains.
    var next: UInt32
}

/// The bytes of one document and its tape.
final class JSONDocument: Sendable {
    let bytes: [UInt8]
    let nodes: [JSONNode]
    let source: String

    init(bytes: [UInt8], nodes: [JSONNode], source: String) {
        self.bytes = bytes
        self.nodes = nodes
        self.source = source
    }

    /// The UTF-8 of a string with its escapes replaced; a lone surrogate becomes U+FFFD.
    func unescaped(_ node: JSONNode) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(Int(node.length))
        let end = Int(node.offset) + Int(node.length)
        var at = Int(node.offset)
        while at < end {
            let byte = bytes[at]
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                at += 1
                continue
            }
            // The parser has checked every escape, so that none runs past the end.
            let escape = bytes[at + 1]
            at += 2
            switch escape {
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0C)
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = hexUnit(at)
                at += 4
                if scalar & 0xFC00 == 0xD800, at + 6 <= end, bytes[at] == UInt8(ascii: "\\"),
                    bytes[at + 1] == UInt8(ascii: "u"), case let low = hexUnit(at + 2), low & 0xFC00 == 0xDC00
                {
                    scalar = 0x10000 + (scalar & 0x3FF) << 10 + (low & 0x3FF)
                    at += 6
                }
                let valid = Unicode.Scalar(scalar) ?? "\u{FFFD}"
                result.append(contentsOf: UTF8.encode(valid) ?? UTF8.encodedReplacementCharacter)
            default: result.append(escape)
            }
        }
        return result
    }

    private func hexUnit(_ at: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 4 | UInt32(hexDigit(bytes[at + $1]) ?? 0) }
    }
}

/// The value of a hexadecimal digit, nil for any other byte.
package func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
}
