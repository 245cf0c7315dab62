import ApusGraph
import ApusSupport

/// A value of a section's JSON and the way to it, for errors such as `plan: steps[3].operands: expected an array`.
struct FieldReader {
    let json: JSON
    let path: String

    init(_ json: JSON, path: String = "") {
        self.json = json
        self.path = path
    }

    func failure(_ expected: String) -> ApusError {
        EngineFileHeader.damaged(
            "\(json.source): \(path.isEmpty ? "the document" : path)", expected, "something else")
    }

    /// A member that must be there.
    subscript(key: String) -> FieldReader {
        get throws(ApusError) {
            let inner = path.isEmpty ? key : "\(path).\(key)"
            guard let value = json[key] else {
                throw EngineFileHeader.damaged("\(json.source): \(inner)", "a value", "none")
            }
            return FieldReader(value, path: inner)
        }
    }

    /// A member that is left out or null for nil.
    func optional(_ key: String) -> FieldReader? {
        guard let value = json[key], !value.isNull else { return nil }
        return FieldReader(value, path: path.isEmpty ? key : "\(path).\(key)")
    }

    var elements: [FieldReader] {
        get throws(ApusError) {
            guard json.kind == .array else { throw failure("an array") }
            return json.elements.enumerated().map { FieldReader($1, path: "\(path)[\($0)]") }
        }
    }

    var members: [(key: String, value: FieldReader)] {
        get throws(ApusError) {
            guard json.kind == .object else { throw failure("an object") }
            return json.members.map { ($0.key, FieldReader($0.value, path: "\(path).\($0.key)")) }
        }
    }

    /// The one member of an object, as the coding of an enumeration's case.
    var onlyMember: (key: String, value: FieldReader) {
        get throws(ApusError) {
            let members = try members
            guard members.count == 1 else { throw failure("an object with one member") }
            return members[0]
        }
    }

    var int: Int {
        get throws(ApusError) {
            guard let value = json.int else { throw failure("an integer") }
            return value
        }
    }

    var count: Int {
        get throws(ApusError) {
            guard let value = json.int, value >= 0 else { throw failure("an integer of at least 0") }
            return value
        }
    }

    var token: Int32 {
        get throws(ApusError) {
            guard let value = json.int.flatMap({ Int32(exactly: $0) }) else { throw failure("a token id") }
            return value
        }
    }

    var bool: Bool {
        get throws(ApusError) {
            guard let value = json.bool else { throw failure("true or false") }
            return value
        }
    }

    var string: String {
        get throws(ApusError) {
            guard let value = json.string else { throw failure("a string") }
            return value
        }
    }

    /// A number as ``JSONValue/exact(_:)`` writes it.
    var double: Double {
        get throws(ApusError) {
            if let value = json.double, value.isFinite { return value }
            guard let bits = json.string.flatMap({ UInt64($0, radix: 16) }) else { throw failure("a number") }
            return Double(bitPattern: bits)
        }
    }

    var element: ElementType {
        get throws(ApusError) {
            guard let value = json.string.flatMap({ ElementType(rawValue: $0) }) else {
                throw failure("an element type")
            }
            return value
        }
    }

    var dimension: Dimension {
        get throws(ApusError) { try Dimension(parsing: string, source: "\(json.source): \(path)") }
    }

    var type: TensorType {
        get throws(ApusError) { try TensorType(parsing: string, source: "\(json.source): \(path)") }
    }
}

extension JSONValue {
    /// A number that reads back with every bit: one that JSON cannot write is a string of its 16 hexadecimal digits.
    static func exact(_ value: Double) -> JSONValue {
        value.isFinite ? .double(value) : .string(XXHash64.text(value.bitPattern))
    }

    /// An integer, or null for nil.
    static func optional(_ value: (some BinaryInteger)?) -> JSONValue { value.map { .int(Int($0)) } ?? .null }

    /// A number, or null for nil.
    static func optional(_ value: Double?) -> JSONValue { value.map { .exact($0) } ?? .null }
}
