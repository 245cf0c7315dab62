import ApusGraph
import ApusSupport

/// The same elements in another shape or order.
extension ConverterRegistry {
    static let views: [String: Converter] = {
        var table: [String: Converter] = [
            "aten.transpose.int": { call throws(ApusError) in
                let x = try call.tensor("self")
                let rank = call.type(of: x).rank
                let (a, b) = (
                    try call.axis(try call.int("dim0"), rank: rank),
                    try call.axis(try call.int("dim1"), rank: rank)
                )
                return [a == b ? x : try call.add("transpose", [x], ["dim0": .int(a), "dim1": .int(b)])]
            },
            "aten.t.default": { call throws(ApusError) in
                let x = try call.tensor("self")
                return [
                    call.type(of: x).rank < 2 ? x : try call.add("transpose", [x], ["dim0": 0, "dim1": 1])
                ]
            },
            "aten.permute.default": { call throws(ApusError) in
                let x = try call.tensor("self")
                var order: [Dimension] = []
                for dim in try call.ints("dims") ?? [] {
                    order.append(Dimension(try call.axis(dim, rank: call.type(of: x).rank)))
                }
                return [try call.add("permute", [x], ["dims": .dimensions(order)])]
            },
            "aten.unsqueeze.default": { call throws(ApusError) in
                let x = try call.tensor("self")
                let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank + 1)
                return [try call.add("unsqueeze", [x], ["dim": .int(axis)])]
            },
            "aten.squeeze.default": toDeclaredShape, "aten.squeeze.dim": toDeclaredShape,
            "aten.squeeze.dims": toDeclaredShape, "aten.flatten.using_ints": toDeclaredShape,
            "aten.unflatten.int": toDeclaredShape,
            "aten.expand.default": { call throws(ApusError) in
                let x = try call.tensor("self")
                let shape = call.type(of: x).shape
                var target = try call.sizes("size") ?? []
                let added = target.count - shape.count
                guard added >= 0 else { throw ApusError(.invalidInput, "expand to fewer dimensions") }
                for index in target.indices where target[index] == -1 {
                    target[index] = index >= added ? shape[index - added] : 1
                }
                return [try call.expanded(x, target)]
            },
            "aten.expand_as.default": { call throws(ApusError) in
                [try call.expanded(try call.tensor("self"), call.type(of: try call.tensor("other")).shape)]
            },
            "aten.repeat.default": { call throws(ApusError) in
                try repeated(call, try call.sizes("repeats") ?? [])
            },
        ]
        for name in [
            "view.default", "reshape.default", "_unsafe_view.default", "_reshape_copy.default",
            "view_copy.default",
        ] {
            table["aten.\(name)"] = reshape
        }
        return table
    }()

    /// A reshape whose -1 is found by division, or else in what the exporter recorded.
    private static let reshape: Converter = { call throws(ApusError) in
        let x = try call.tensor("self")
        // `reshape` calls it `shape`, all others `size`.
        guard var shape = try call.sizes(call.argument("size") == nil ? "shape" : "size") else {
            throw call.unsupported("a reshape without a shape")
        }
        if let open = shape.firstIndex(of: -1) {
            let rest = Dimension.product(shape.enumerated().filter { $0.offset != open }.map(\.element))
            if let quotient = call.type(of: x).elementCount.dividedExactly(by: rest) {
                shape[open] = quotient
            } else {
                let recorded = try call.resultType().shape
                guard open < recorded.count else {
                    throw ApusError(.invalidInput, "the shapes differ in rank")
                }
                shape[open] = recorded[open]
            }
        }
        return [try call.reshaped(x, shape)]
    }

    /// A reshape to the shape that the exporter recorded.
    private static let toDeclaredShape: Converter = { call throws(ApusError) in
        [try call.reshaped(try call.tensor("self"), try call.resultType().shape)]
    }

    /// Each dimension as often as `repeats` says: put beside itself by expanding a new dimension before it.
    private static func repeated(_ call: OperatorCall, _ repeats: [Dimension]) throws(ApusError) -> [Value] {
        let x = try call.tensor("self")
        let shape = call.type(of: x).shape
        guard repeats.count >= shape.count else {
            throw ApusError(.invalidInput, "repeat with fewer numbers than dimensions")
        }
        let padded = [Dimension](repeating: 1, count: repeats.count - shape.count) + shape
        let spread: [Dimension] = padded.flatMap { [1, $0] }
        let expanded: [Dimension] = zip(repeats, padded).flatMap { [$0.0, $0.1] }
        let wide = try call.expanded(try call.reshaped(x, spread), expanded)
        return [try call.reshaped(wide, zip(repeats, padded).map { $0 * $1 })]
    }
}
