import ApusGraph
import ApusSupport

/// Parts of a tensor along one dimension.
extension ConverterRegistry {
    static let slices: [String: Converter] = [
        "aten.slice.Tensor": { call throws(ApusError) in
            let x = try call.tensor("self")
            let type = call.type(of: x)
            let axis = try call.axis(try call.int("dim", default: 0), rank: type.rank)
            let step = try call.int("step", default: 1)
            let bounds = try call.sliceBounds(type.shape[axis], axis: axis)
            let part = try call.slice(x, axis: axis, bounds.start, bounds.end)
            return [step == 1 ? part : try call.everyNth(part, step, axis: axis)]
        },
        "aten.narrow.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
            let start = try call.indexFromFront("start", call.type(of: x).shape[axis])
            return [try call.slice(x, axis: axis, start, start + (try call.size("length") ?? 0))]
        },
        "aten.select.int": { call throws(ApusError) in
            let x = try call.tensor("self")
            var shape = call.type(of: x).shape
            let axis = try call.axis(try call.int("dim"), rank: shape.count)
            let start = try call.indexFromFront("index", shape[axis])
            let part = try call.slice(x, axis: axis, start, start + 1)
            shape.remove(at: axis)
            return [try call.reshaped(part, shape)]
        },
        "aten.split.Tensor": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim", default: 0), rank: call.type(of: x).rank)
            return try parts(call, x, axis)
        },
        "aten.split_with_sizes.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim", default: 0), rank: call.type(of: x).rank)
            return try parts(call, x, axis)
        },
        "aten.chunk.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim", default: 0), rank: call.type(of: x).rank)
            return try parts(call, x, axis)
        },
        "aten.unbind.int": { call throws(ApusError) in
            let x = try call.tensor("self")
            var shape = call.type(of: x).shape
            let axis = try call.axis(try call.int("dim", default: 0), rank: shape.count)
            shape.remove(at: axis)
            var rows: [Value] = []
            for index in call.node.resultNames.indices {
                let row = try call.slice(x, axis: axis, Dimension(index), Dimension(index + 1))
                rows.append(try call.reshaped(row, shape))
            }
            return rows
        },
        "aten.slice_scatter.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let type = call.type(of: x)
            let axis = try call.axis(try call.int("dim", default: 0), rank: type.rank)
            guard try call.int("step", default: 1) == 1 else { throw call.unsupported("a step") }
            let bounds = try call.sliceBounds(type.shape[axis], axis: axis)
            let source = try call.converted(try call.tensor("src"), to: type.element)
            return [try call.replaced(x, with: source, axis: axis, bounds.start, bounds.end)]
        },
    ]

    /// One slice for each result, as long as the exporter recorded.
    private static func parts(_ call: OperatorCall, _ x: Value, _ axis: Int) throws(ApusError) -> [Value] {
        var results: [Value] = []
        var start = Dimension(0)
        for index in call.node.resultNames.indices {
            let end = start + (try call.partSize(index, axis: axis))
            results.append(try call.slice(x, axis: axis, start, end))
            start = end
        }
        return results
    }
}

extension OperatorCall {
    /// The size of a split's result, which may have no name if nothing uses it.
    fileprivate func partSize(_ index: Int, axis: Int) throws(ApusError) -> Dimension {
        if let sizes = try sizes("split_sizes"), index < sizes.count { return sizes[index] }
        if node.resultNames[index] == nil, let size = try? size("split_size") { return size }
        let shape = try resultType(index).shape
        guard axis < shape.count else {
            throw ApusError(.invalidInput, "result \(index) has too few dimensions")
        }
        return shape[axis]
    }

    /// x[…, start:end, …]; x itself if that is all of it.
    func slice(_ x: Value, axis: Int, _ start: Dimension, _ end: Dimension) throws(ApusError) -> Value {
        if start == 0, end == type(of: x).shape[axis] { return x }
        return try add("slice", [x], ["dim": .int(axis), "start": .size(start), "end": .size(end)])
    }

    /// `x` with x[…, start:end, …] replaced.
    func replaced(
        _ x: Value, with part: Value, axis: Int, _ start: Dimension, _ end: Dimension
    ) throws(ApusError) -> Value {
        let size = type(of: x).shape[axis]
        var shape = type(of: x).shape
        shape[axis] = end - start
        var parts = [try expanded(part, shape)]
        if start != 0 { parts.insert(try slice(x, axis: axis, 0, start), at: 0) }
        if end != size { parts.append(try slice(x, axis: axis, end, size)) }
        return parts.count == 1 ? parts[0] : try add("cat", parts, ["dim": .int(axis)])
    }

    /// An index argument counted from the front.
    func indexFromFront(_ name: String, _ size: Dimension) throws(ApusError) -> Dimension {
        let index = try self.size(name) ?? 0
        let isNegative = context.symbols.isProven(.lt, index, 0)
        guard let isNegative else { throw unsupported("an index '\(index)' of unknown sign") }
        return isNegative ? index + size : index
    }

    /// The bounds of a slice as PyTorch takes them: negative ones count from the end, and both are cut to the size.
    func sliceBounds(_ size: Dimension, axis: Int) throws(ApusError) -> (start: Dimension, end: Dimension) {
        let start = try cut(try self.size("start") ?? 0, size)
        guard let given = try self.size("end"), given.constant != Int.max else { return (start, size) }
        // Where the exporter knew that the end lies within, though the ranges alone do not tell, it recorded so.
        if try int("step", default: 1) == 1, let recorded = try? resultType().shape, axis < recorded.count,
            recorded[axis] == given - start, context.symbols.isProven(.ge, given, 0) == true
        {
            return (start, given)
        }
        // A slice whose end lies before its start is empty.
        return (start, context.symbols.larger(start, try cut(given, size)))
    }

    private func cut(_ bound: Dimension, _ size: Dimension) throws(ApusError) -> Dimension {
        if bound.constant == Int.max { return size }
        guard let isNegative = context.symbols.isProven(.lt, bound, 0) else {
            throw unsupported("a slice to '\(bound)', of unknown sign")
        }
        let place = isNegative ? bound + size : bound
        if context.symbols.isProven(.le, place, size) == true, context.symbols.isProven(.ge, place, 0) == true
        {
            return place
        }
        return context.symbols.larger(0, context.symbols.smaller(place, size))
    }

    /// Every n-th row of a dimension, beginning with the first.
    fileprivate func everyNth(_ x: Value, _ step: Int, axis: Int) throws(ApusError) -> Value {
        let count = try resultType().shape[axis]
        let rows = try add("arange", [], ["end": .size(count), "element": .element(.i64)])
        let places = try add("mul", [rows, scalar(Double(step), .i64)])
        return try add("index_select", [x, places], ["dim": .int(axis)])
    }
}
