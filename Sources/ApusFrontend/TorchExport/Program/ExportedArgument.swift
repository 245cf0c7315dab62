import ApusSupport

/// An argument or result of a node of an exported program.
enum ExportedArgument: Sendable {
    case none
    case tensor(String)
    /// A list of tensors; nil where it has None.
    case tensors([String?])
    case int(Int)
    case float(Double)
    case bool(Bool)
    case string(String)
    /// An integer that may be computed at run time.
    case symInt(SizeReference)
    /// A list of integers, some of which may be computed at run time.
    case symInts([SizeReference])
    case floats([Double])
    case bools([Bool])
    case strings([String])
    /// A truth value that a node computes.
    case symBool(String)
    /// The number of a dtype.
    case dtype(Int)
    case device(String)
    case layout(Int)
    case memoryFormat(Int)
    case graph(name: String, ExportedGraph)
    /// A member of the schema that no converter reads.
    case other(String)

    /// An integer: written out, or the name of one that a node computes.
    enum SizeReference: Sendable {
        case int(Int)
        case name(String)
    }

    /// The names of the values that this result defines, in order; nil for one that nothing uses.
    var resultNames: [String?] {
        switch self {
        case .tensor(let name): [name]
        case .tensors(let names): names
        case .none: [nil]
        default: []
        }
    }

    /// What messages call this kind of argument.
    var kind: String {
        switch self {
        case .none: "None"
        case .tensor: "a tensor"
        case .tensors: "a list of tensors"
        case .int: "an integer"
        case .float: "a float"
        case .bool: "a bool"
        case .string: "a string"
        case .symInt: "a symbolic integer"
        case .symInts: "a list of integers"
        case .floats: "a list of floats"
        case .bools: "a list of bools"
        case .strings: "a list of strings"
        case .symBool: "a symbolic bool"
        case .dtype: "a dtype"
        case .device: "a device"
        case .layout: "a layout"
        case .memoryFormat: "a memory format"
        case .graph: "a graph"
        case .other(let name): "'\(name)'"
        }
    }
}

extension ExportedArgument {
    /// Reads a union: an object with one member, whose name says what it is.
    init(_ json: JSON, depth: Int) throws(ApusError) {
        var members = json.members.makeIterator()
        guard let (key, value) = members.next(), json.count == 1 else {
            throw ApusError(.invalidInput, "expected an argument with one member, got \(json.count)")
        }
        switch key {
        case "as_none": self = .none
        case "as_tensor": self = .tensor(try Self.name(value))
        case "as_tensors": self = .tensors(try value.list(Self.optionalName))
        case "as_optional_tensor": self = try Self.optionalTensor(value).map(ExportedArgument.tensor) ?? .none
        case "as_optional_tensors": self = .tensors(try value.list(Self.optionalTensor))
        case "as_int": self = .int(try value.required("an integer", \.int))
        case "as_ints":
            self = .symInts(
                try value.list { element throws(ApusError) in .int(try element.required("an integer", \.int))
                })
        case "as_float": self = .float(try Self.float(value))
        case "as_floats": self = .floats(try value.list(Self.float))
        case "as_bool": self = .bool(try value.required("a bool", \.bool))
        case "as_bools":
            self = .bools(
                try value.list { element throws(ApusError) in try element.required("a bool", \.bool) })
        case "as_string": self = .string(try value.required("a string", \.string))
        case "as_strings":
            self = .strings(
                try value.list { element throws(ApusError) in try element.required("a string", \.string) })
        case "as_sym_int": self = .symInt(try Self.size(value))
        case "as_sym_ints": self = .symInts(try value.list(Self.size))
        case "as_sym_bool":
            if let constant = value["as_bool"]?.bool {
                self = .bool(constant)
            } else {
                self = .symBool(try value.member("as_name").required("a string", \.string))
            }
        case "as_sym_float" where value["as_float"] != nil:
            self = .float(try Self.float(try value.member("as_float")))
        case "as_scalar_type": self = .dtype(try value.required("an integer", \.int))
        case "as_device": self = .device(try value.member("type").required("a string", \.string))
        case "as_layout": self = .layout(try value.required("an integer", \.int))
        case "as_memory_format": self = .memoryFormat(try value.required("an integer", \.int))
        case "as_graph":
            let name = try value.member("name").required("a string", \.string)
            self = .graph(name: name, try ExportedGraph(try value.member("graph"), depth: depth + 1))
        default: self = .other(key)
        }
    }

    private static func name(_ json: JSON) throws(ApusError) -> String {
        try json.member("name").required("a string", \.string)
    }

    private static func optionalName(_ json: JSON) throws(ApusError) -> String? { try name(json) }

    private static func optionalTensor(_ json: JSON) throws(ApusError) -> String? {
        if json["as_none"] != nil { return nil }
        return try name(json["as_tensor"] ?? json)
    }

    private static func size(_ json: JSON) throws(ApusError) -> SizeReference {
        if let value = json["as_int"] { return .int(try value.required("an integer", \.int)) }
        return .name(try json.member("as_name").required("a string", \.string))
    }

    /// A number; infinities and NaN are written as strings.
    private static func float(_ json: JSON) throws(ApusError) -> Double {
        if let text = json.string {
            switch text {
            case "Infinity": return .infinity
            case "-Infinity": return -.infinity
            case "NaN": return .nan
            default: throw ApusError(.invalidInput, "expected a number, got \"\(text)\"")
            }
        }
        return try json.required("a number", \.double)
    }
}

extension JSON {
    /// A member that must be there.
    func member(_ key: String) throws(ApusError) -> JSON {
        guard let value = self[key] else { throw ApusError(.invalidInput, "'\(key)' is missing") }
        return value
    }

    /// What `read` finds in this value, which must be something.
    func required<T>(_ what: String, _ read: (JSON) -> T?) throws(ApusError) -> T {
        guard let value = read(self) else {
            throw ApusError(.invalidInput, "expected \(what), got \(kind.rawValue)")
        }
        return value
    }

    /// The elements of a list, each read in turn.
    func list<T>(_ read: (JSON) throws(ApusError) -> T) throws(ApusError) -> [T] {
        guard kind == .array else { throw ApusError(.invalidInput, "expected a list, got \(kind.rawValue)") }
        var result: [T] = []
        result.reserveCapacity(count)
        for element in elements { result.append(try read(element)) }
        return result
    }
}
