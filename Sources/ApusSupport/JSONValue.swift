/// A JSON value to build and to write; an object keeps the order of its members.
public indirect enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([(String, JSONValue)])

    /// The value as JSON text that reads back to the same value.
    ///
    /// Doubles are written in the shortest form that round-trips; NaN and infinities, which JSON has no way to
    /// write, as `null`. `pretty` indents by two spaces.
    public func text(pretty: Bool = false) -> String {
        var result: [UInt8] = []
        write(into: &result, pretty: pretty, depth: 0)
        return String(decoding: result, as: UTF8.self)
    }

    private func write(into out: inout [UInt8], pretty: Bool, depth: Int) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .int(let value): out.append(contentsOf: String(value).utf8)
        case .double(let value):
            out.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
        case .string(let value): Self.write(value, into: &out)
        case .array(let elements):
            Self.writeList(elements, open: "[", close: "]", into: &out, pretty: pretty, depth: depth) {
                $0.write(into: &$1, pretty: pretty, depth: depth + 1)
            }
        case .object(let members):
            Self.writeList(members, open: "{", close: "}", into: &out, pretty: pretty, depth: depth) {
                Self.write($0.0, into: &$1)
                $1.append(contentsOf: (pretty ? ": " : ":").utf8)
                $0.1.write(into: &$1, pretty: pretty, depth: depth + 1)
            }
        }
    }

    private static func writeList<T>(
        _ items: [T], open: Unicode.Scalar, close: Unicode.Scalar, into out: inout [UInt8], pretty: Bool,
        depth: Int, write: (T, inout [UInt8]) -> Void
    ) {
        func newline(_ depth: Int) {
            guard pretty, !items.isEmpty else { return }
            out.append(10)
            out.append(contentsOf: repeatElement(32, count: 2 * depth))
        }
        out.append(UInt8(ascii: open))
        for (index, item) in items.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            newline(depth + 1)
            write(item, &out)
        }
        newline(depth)
        out.append(UInt8(ascii: close))
    }

    private static func write(_ string: String, into out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): out.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\\"): out.append(contentsOf: "\\\\".utf8)
            case 0x0A: out.append(contentsOf: "\\n".utf8)
            case 0x0D: out.append(contentsOf: "\\r".utf8)
            case 0x09: out.append(contentsOf: "\\t".utf8)
            case 0..<0x20:
                out.append(contentsOf: "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8)
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}

extension JSONValue: Equatable {
    /// Whether two values are the same, with members in the same order.
    public static func == (a: JSONValue, b: JSONValue) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.int(let a), .int(let b)): a == b
        case (.double(let a), .double(let b)): a == b
        case (.string(let a), .string(let b)): a == b
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)):
            a.count == b.count && zip(a, b).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 }
        default: false
        }
    }
}

extension JSONValue {
    /// The value that a parsed view shows, copied out of its document.
    public init(_ json: JSON) {
        switch json.kind {
        case .null: self = .null
        case .bool: self = .bool(json.bool ?? false)
        case .number:
            if let value = json.int, json.isIntegerLiteral {
                self = .int(value)
            } else {
                self = .double(json.double ?? .nan)
            }
        case .string: self = .string(json.string ?? "")
        case .array: self = .array(json.elements.map { JSONValue($0) })
        case .object: self = .object(json.members.map { ($0.key, JSONValue($0.value)) })
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    /// Makes `null`.
    public init(nilLiteral: ()) { self = .null }
    /// Makes a boolean.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// Makes an integer.
    public init(integerLiteral value: Int) { self = .int(value) }
    /// Makes a floating-point number.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// Makes a string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// Makes an array.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// Makes an object with its members in the order given.
    public init(dictionaryLiteral members: (String, JSONValue)...) { self = .object(members) }
}
