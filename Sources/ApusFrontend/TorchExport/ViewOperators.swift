import ApusGraph
import ApusSupport

/// Operators whose result shares memory with their argument, so that a write to one changes the other.
enum ViewOperators {
    private static let views: Set<String> = [
        "aten.slice.Tensor", "aten.select.int", "aten.narrow.default", "aten.unsqueeze.default",
        "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.view.default",
        "aten.transpose.int",
        "aten.t.default", "aten.permute.default", "aten.alias.default", "aten.detach.default",
        "aten.expand.default", "aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default",
        "aten.unbind.int", "aten.expand_as.default",
    ]
    /// Views or copies, as strides decide.
    private static let unclear: Set<String> = [
        "aten.reshape.default", "aten.contiguous.default", "aten.flatten.using_ints", "aten.unflatten.int",
    ]
    /// The tensor itself where there is nothing to convert.
    private static let conversions: Set<String> = [
        "aten.to.dtype", "aten.to.dtype_layout", "aten.to.device", "aten.to.other", "aten.type_as.default",
    ]

    /// What the first argument of a node is to its results, if they share memory.
    static func link(_ node: ExportedNode, _ graph: ExportedGraph) -> ImportContext.Link? {
        guard case .tensor(let parent)? = node.inputs.first?.value else { return nil }
        if views.contains(node.target) { return .view(of: parent, node) }
        if unclear.contains(node.target) { return .unclear(parent) }
        if node.target == "aten.dropout.default" { return .same(parent) }
        guard conversions.contains(node.target), case let name?? = node.resultNames.first,
            let before = graph.tensors[parent], let after = graph.tensors[name]
        else { return nil }
        let copies = node.inputs.contains { input in
            if input.name == "copy", case .bool(true) = input.value { true } else { false }
        }
        return !copies && before.dtype == after.dtype && before.device == after.device ? .same(parent) : nil
    }

    /// The tensor `parent` after `value` was written to its view `call`.
    static func write(
        _ value: Value, into parent: Value, through call: OperatorCall
    ) throws(ApusError) -> Value {
        let type = call.type(of: parent)
        switch call.target {
        case "aten.alias.default", "aten.detach.default": return value
        case "aten.view.default", "aten.unsqueeze.default", "aten.squeeze.default", "aten.squeeze.dim",
            "aten.squeeze.dims":
            return try call.reshaped(value, type.shape)
        case "aten.transpose.int":
            return try call.add(
                "transpose", [value],
                ["dim0": .int(try call.int("dim0")), "dim1": .int(try call.int("dim1"))])
        case "aten.t.default":
            return type.rank < 2 ? value : try call.add("transpose", [value], ["dim0": 0, "dim1": 1])
        case "aten.permute.default":
            var inverse = [Dimension](repeating: 0, count: type.rank)
            for (index, dim) in (try call.ints("dims") ?? []).enumerated() {
                inverse[try call.axis(dim, rank: type.rank)] = Dimension(index)
            }
            return try call.add("permute", [value], ["dims": .dimensions(inverse)])
        case "aten.slice.Tensor":
            let axis = try call.axis(try call.int("dim", default: 0), rank: type.rank)
            guard try call.int("step", default: 1) == 1 else { break }
            let bounds = try call.sliceBounds(type.shape[axis], axis: axis)
            return try call.replaced(parent, with: value, axis: axis, bounds.start, bounds.end)
        case "aten.select.int":
            let axis = try call.axis(try call.int("dim"), rank: type.rank)
            let start = try call.indexFromFront("index", type.shape[axis])
            let row = try call.add("unsqueeze", [value], ["dim": .int(axis)])
            return try call.replaced(parent, with: row, axis: axis, start, start + 1)
        default: break
        }
        throw ApusError(.unsupported, "writes through a view made by \(call.target)")
    }
}
