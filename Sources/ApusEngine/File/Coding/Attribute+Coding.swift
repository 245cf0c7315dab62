import ApusGraph
import ApusSupport

extension Attribute {
    /// The attribute as an object whose one member is named as its kind, as in `{"float": 1e-06}`.
    var json: JSONValue {
        let value: JSONValue =
            switch self {
            case .bool(let value): .bool(value)
            case .int(let value): .int(value)
            case .float(let value): .exact(value)
            case .string(let value): .string(value)
            case .dimension(let value): .string(value.description)
            case .dimensions(let list): .array(list.map { .string($0.description) })
            case .floats(let list): .array(list.map { .exact($0) })
            case .element(let type): .string(type.rawValue)
            case .literal(let literal): literal.json
            }
        return .object([(kind.rawValue, value)])
    }

    /// Reads what ``json`` gives.
    init(_ field: FieldReader) throws(ApusError) {
        let (key, value) = try field.onlyMember
        guard let kind = AttributeKind(rawValue: key) else { throw field.failure("a kind of attribute") }
        switch kind {
        case .bool: self = .bool(try value.bool)
        case .int: self = .int(try value.int)
        case .float: self = .float(try value.double)
        case .string: self = .string(try value.string)
        case .dimension: self = .dimension(try value.dimension)
        case .dimensions:
            var list: [Dimension] = []
            for element in try value.elements { list.append(try element.dimension) }
            self = .dimensions(list)
        case .floats: self = .floats(try value.doubles)
        case .element: self = .element(try value.element)
        case .literal: self = .literal(try TensorLiteral(value))
        }
    }
}

extension TensorLiteral {
    fileprivate var json: JSONValue {
        .object([
            ("type", .string(type.description)), ("values", .array(values.map { .exact($0) })),
        ])
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        self.init(try field["type"].type, try field["values"].doubles)
    }
}

extension FieldReader {
    fileprivate var doubles: [Double] {
        get throws(ApusError) {
            var list: [Double] = []
            for element in try elements { list.append(try element.double) }
            return list
        }
    }
}
