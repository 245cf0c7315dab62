import ApusSupport

/// A program that `torch.export` traced: a graph over ATen operators, what its inputs and outputs stand for, and the
/// ranges of its symbols.
///
/// Source: the schema of torch/_export/serde/schema.py, major version 8. Members that a later minor version adds are
/// passed over.
struct ExportedProgram: Sendable {
    /// What an input of the graph stands for.
    enum InputKind: Sendable {
        case user
        case parameter(String)
        case buffer(String)
        case constant(String)
        /// An argument of the traced call that is no tensor.
        case value
    }

    /// What an output of the graph stands for.
    enum OutputKind: Sendable {
        case user
        /// The new value of a buffer.
        case buffer(String)
        /// The new value of an input of the user's.
        case input(String)
    }

    /// The version of torch that wrote the program.
    let torchVersion: String
    let graph: ExportedGraph
    let inputs: [(kind: InputKind, argument: ExportedArgument)]
    let outputs: [(kind: OutputKind, argument: ExportedArgument)]
    /// The values that each symbol may take, as far as they are bounded.
    let ranges: [String: (lower: Int?, upper: Int?)]
    /// Conditions on the inputs that the exporter checks before it runs the program, as Python.
    let guards: [String]

    /// The major version of the schema that is read.
    static let schemaVersion = 8

    /// Reads `model.json`.
    /// - Throws: `.unsupported` for another schema, `.invalidInput` with the place for what is malformed.
    init(_ json: JSON) throws(ApusError) {
        guard let major = json["schema_version"]?["major"]?.int else {
            throw ApusError(.invalidInput, "expected a 'schema_version'; this is no exported program")
        }
        torchVersion = json["torch_version"]?.string ?? "an unknown torch"
        guard major == Self.schemaVersion else {
            throw ApusError(
                .unsupported,
                "expected schema version \(Self.schemaVersion), got \(major) (written by \(torchVersion)); export "
                    + "it with torch 2.8 to 2.15")
        }
        let module = try json.member("graph_module")
        graph = try ApusError.within("graph") { () throws(ApusError) in
            try ExportedGraph(try module.member("graph"))
        }
        let signature = try module.member("signature")
        inputs = try ApusError.within("signature") { () throws(ApusError) in
            try signature.member("input_specs").list { spec throws(ApusError) in try Self.input(spec) }
        }
        outputs = try ApusError.within("signature") { () throws(ApusError) in
            try signature.member("output_specs").list { spec throws(ApusError) in try Self.output(spec) }
        }
        guard inputs.count == graph.inputs.count, outputs.count == graph.outputs.count else {
            throw ApusError(
                .invalidInput,
                "the signature has \(inputs.count) inputs and \(outputs.count) outputs, the graph "
                    + "\(graph.inputs.count) and \(graph.outputs.count)")
        }
        var ranges: [String: (lower: Int?, upper: Int?)] = [:]
        for (name, range) in json["range_constraints"].map({ Array($0.members) }) ?? [] {
            ranges[name] = (range["min_val"]?.int, range["max_val"]?.int)
        }
        self.ranges = ranges
        guards = json["guards_code"].map { $0.elements.compactMap(\.string) } ?? []
    }

    private static func union(_ spec: JSON) throws(ApusError) -> (key: String, value: JSON) {
        var members = spec.members.makeIterator()
        guard let member = members.next(), spec.count == 1 else {
            throw ApusError(.invalidInput, "expected an entry with one member, got \(spec.count)")
        }
        return member
    }

    private static func input(
        _ spec: JSON
    ) throws(ApusError) -> (kind: InputKind, argument: ExportedArgument) {
        let (key, value) = try union(spec)
        func tensor() throws(ApusError) -> ExportedArgument {
            .tensor(try value.member("arg").member("name").required("a string", \.string))
        }
        func name(_ key: String) throws(ApusError) -> String {
            try value.member(key).required("a string", \.string)
        }
        switch key {
        case "user_input": return (.user, try ExportedArgument(try value.member("arg"), depth: 0))
        case "parameter": return (.parameter(try name("parameter_name")), try tensor())
        case "buffer": return (.buffer(try name("buffer_name")), try tensor())
        case "tensor_constant": return (.constant(try name("tensor_constant_name")), try tensor())
        case "constant_input": return (.value, .none)
        default:
            throw ApusError(.unsupported, "an input of kind '\(key)' is not supported; export without it")
        }
    }

    private static func output(
        _ spec: JSON
    ) throws(ApusError) -> (kind: OutputKind, argument: ExportedArgument) {
        let (key, value) = try union(spec)
        func tensor() throws(ApusError) -> ExportedArgument {
            .tensor(try value.member("arg").member("name").required("a string", \.string))
        }
        switch key {
        case "user_output": return (.user, try ExportedArgument(try value.member("arg"), depth: 0))
        case "buffer_mutation":
            return (.buffer(try value.member("buffer_name").required("a string", \.string)), try tensor())
        case "user_input_mutation":
            return (
                .input(try value.member("user_input_name").required("a string", \.string)), try tensor()
            )
        default:
            throw ApusError(
                .unsupported, "an output of kind '\(key)' is not supported; export for inference")
        }
    }
}
