import ApusGraph
import ApusSupport

/// Calls of a graph that stands in an argument; it is converted in place.
extension ConverterRegistry {
    static let higherOrder: [String: Converter] = [
        // Arguments: device, dtype, enabled, cache_enabled, graph, operands…
        "higher_order.wrap_with_autocast": { call throws(ApusError) in
            guard call.node.inputs.count >= 5, case .bool(false) = call.node.inputs[2].value else {
                throw call.unsupported("autocast that is on; export the model in the type it is to run in")
            }
            return try inline(call, at: 4)
        },
        // Arguments: enabled, graph, operands…
        "higher_order.wrap_with_set_grad_enabled": { call throws(ApusError) in try inline(call, at: 1) },
    ]

    private static func inline(_ call: OperatorCall, at position: Int) throws(ApusError) -> [Value] {
        guard call.node.inputs.count > position, case .graph(_, let graph) = call.node.inputs[position].value,
            call.node.inputs.count - position - 1 == graph.inputs.count
        else {
            throw call.unsupported(
                "expected a graph as argument \(position), with as many operands as inputs")
        }
        return try call.context.inline(graph, call.node.inputs[(position + 1)...].map(\.value))
    }
}

extension ImportContext {
    /// Converts a graph with the operands as its inputs, and gives its outputs.
    fileprivate func inline(
        _ graph: ExportedGraph, _ operands: [ExportedArgument]
    ) throws(ApusError) -> [Value] {
        var inner = Frame(graph: graph)
        for (input, operand) in zip(graph.inputs, operands) {
            guard case .tensor(let name) = input, case .tensor(let outer) = operand else { continue }
            inner.values[name] = try value(of: outer)
        }
        frames.append(inner)
        defer { frames.removeLast() }
        try convertNodes()
        var results: [Value] = []
        for output in graph.outputs {
            for case let name? in output.resultNames { results.append(try value(of: name)) }
        }
        for input in graph.inputs {
            if case .tensor(let name) = input,
                let link = frame.links.first(where: { $0.value.parent == name }),
                frame.stale.contains(link.key)
            {
                throw ApusError(.unsupported, "a graph in an argument writes to its input '\(name)'")
            }
        }
        return results
    }
}
