import ApusGraph
import ApusSupport

/// One graph of an exported program: names are defined by `inputs` and by the results of nodes.
struct ExportedGraph: Sendable {
    /// What is known of a tensor.
    struct TensorMeta: Sendable {
        /// The number of its dtype.
        let dtype: Int
        let sizes: [SizeExpression]
        /// The type of its device, such as `cpu`.
        let device: String
    }

    let inputs: [ExportedArgument]
    let outputs: [ExportedArgument]
    let nodes: [ExportedNode]
    let tensors: [String: TensorMeta]
    /// The integers that nodes compute, by name.
    let sizes: [String: SizeExpression]

    /// How deeply graphs may nest in arguments.
    private static let maximumDepth = 16

    init(_ json: JSON, depth: Int = 0) throws(ApusError) {
        guard depth <= Self.maximumDepth else {
            throw ApusError(.unsupported, "graphs nest more than \(Self.maximumDepth) deep")
        }
        inputs = try ApusError.within("inputs") { () throws(ApusError) in
            try json.member("inputs").list { element throws(ApusError) in
                try ExportedArgument(element, depth: depth)
            }
        }
        outputs = try ApusError.within("outputs") { () throws(ApusError) in
            try json.member("outputs").list { element throws(ApusError) in
                try ExportedArgument(element, depth: depth)
            }
        }
        nodes = try json.member("nodes").list { element throws(ApusError) in
            try ExportedNode(element, depth: depth)
        }
        var tensors: [String: TensorMeta] = [:]
        for (name, value) in try json.member("tensor_values").members {
            tensors[name] = try ApusError.within("tensor '\(name)'") { () throws(ApusError) in
                TensorMeta(
                    dtype: try value.member("dtype").required("an integer", \.int),
                    sizes: try value.member("sizes").list { element throws(ApusError) in
                        try SizeExpression(meta: element)
                    },
                    device: value["device"]?["type"]?.string ?? "")
            }
        }
        self.tensors = tensors
        var sizes: [String: SizeExpression] = [:]
        for (name, value) in json["sym_int_values"].map({ Array($0.members) }) ?? [] {
            sizes[name] = try ApusError.within("symbolic integer '\(name)'") { () throws(ApusError) in
                try SizeExpression(meta: value)
            }
        }
        self.sizes = sizes
    }
}

/// One call of an operator in an exported program.
struct ExportedNode: Sendable {
    /// One argument under the name that the operator's schema has for it; empty in higher-order calls.
    struct Input: Sendable {
        let name: String
        let value: ExportedArgument
    }

    /// The operator, as in `aten.view.default`.
    let target: String
    let name: String
    let inputs: [Input]
    let outputs: [ExportedArgument]
    /// The modules that the call was traced in, outermost first; empty if the exporter left it out.
    let moduleClasses: [String]

    init(_ json: JSON, depth: Int) throws(ApusError) {
        let target = try json.member("target").required("a string", \.string)
        let name = json["name"]?.string
        (inputs, outputs) = try ApusError.within("node '\(name ?? target)'") { () throws(ApusError) in
            (
                try json.member("inputs").list { element throws(ApusError) in
                    let name = try element.member("name").required("a string", \.string)
                    return try ApusError.within("argument '\(name)'") { () throws(ApusError) in
                        Input(
                            name: name, value: try ExportedArgument(try element.member("arg"), depth: depth))
                    }
                },
                try json.member("outputs").list { element throws(ApusError) in
                    try ExportedArgument(element, depth: depth)
                }
            )
        }
        let prefix = "torch.ops."
        self.target = target.hasPrefix(prefix) ? String(target.dropFirst(prefix.count)) : target
        self.name = name ?? outputs.first?.resultNames.first.flatMap { $0 } ?? self.target
        let stack = json["metadata"]?["nn_module_stack"]?.string ?? ""
        moduleClasses = stack.split(separator: ";").compactMap {
            $0.split(separator: ",").last.map(String.init)
        }
    }

    /// The names of the tensors that the node defines, in order; nil for one that nothing uses.
    var resultNames: [String?] { outputs.flatMap(\.resultNames) }
}
