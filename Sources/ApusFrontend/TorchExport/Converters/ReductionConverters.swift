import ApusGraph
import ApusSupport

/// Sums and the like over dimensions.
extension ConverterRegistry {
    static let reductions: [String: Converter] = [
        "aten.mean.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let element = try call.elementType("dtype") ?? call.type(of: x).element
            return [try reduce("mean", try call.converted(x, to: element), call)]
        },
        "aten.sum.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            return [try reduce("sum", try call.converted(x, to: try summed(call, x)), call)]
        },
        "aten.any.default": { call throws(ApusError) in
            [try reduce("any", try call.truth(try call.tensor("self")), call)]
        },
        "aten.mean.dim": { call throws(ApusError) in
            let x = try call.tensor("self")
            let element = try call.elementType("dtype") ?? call.type(of: x).element
            return [try reduce("mean", try call.converted(x, to: element), call)]
        },
        "aten.sum.dim_IntList": { call throws(ApusError) in
            let x = try call.tensor("self")
            return [try reduce("sum", try call.converted(x, to: try summed(call, x)), call)]
        },
        "aten.any.dim": { call throws(ApusError) in
            [try reduce("any", try call.truth(try call.tensor("self")), call)]
        },
        "aten.all.dim": { call throws(ApusError) in
            let isFalse = try call.add("logical_not", [try call.truth(try call.tensor("self"))])
            return [try call.add("logical_not", [try reduce("any", isFalse, call)])]
        },
        "aten.cumsum.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
            return [
                try call.add("cumsum", [try call.converted(x, to: try summed(call, x))], ["dim": .int(axis)])
            ]
        },
        "aten._softmax.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let element = try call.bool("half_to_float", default: false) ? .f32 : call.type(of: x).element
            return [try softmax(call, try call.converted(x, to: element))]
        },
        "aten.softmax.int": { call throws(ApusError) in
            let x = try call.tensor("self")
            let element = try call.elementType("dtype") ?? call.type(of: x).element
            return [try softmax(call, try call.converted(x, to: element))]
        },
        "aten._safe_softmax.default": { call throws(ApusError) in
            let input = try call.tensor("self")
            let element = try call.elementType("dtype") ?? call.type(of: input).element
            let x = try call.converted(input, to: element)
            let y = try softmax(call, x)
            // A row of −∞ alone gives zeros.
            let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
            let seen = try call.add(
                "any", [try call.add("ne", [x, call.scalar(-.infinity, element)])],
                ["dim": .int(axis), "keepdim": true])
            return [try call.add("where", [seen, y, call.scalar(0, element)])]
        },
    ]

    private static func softmax(_ call: OperatorCall, _ x: Value) throws(ApusError) -> Value {
        let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
        return try call.add("softmax", [x], ["dim": .int(axis)])
    }

    /// The type that a sum is taken in: integers of any width sum as i64.
    private static func summed(_ call: OperatorCall, _ x: Value) throws(ApusError) -> ElementType {
        let element = call.type(of: x).element
        return try call.elementType("dtype") ?? (element.isFloat ? element : .i64)
    }

    /// A reduction over the dimensions that `dim` lists, one after the other; all if it is None or empty.
    private static func reduce(_ op: String, _ x: Value, _ call: OperatorCall) throws(ApusError) -> Value {
        let rank = call.type(of: x).rank
        var axes: Set<Int> = []
        for dim in try call.ints("dim") ?? [] { axes.insert(try call.axis(dim, rank: rank)) }
        if axes.isEmpty { axes = Set(0..<rank) }
        let keeps = try call.bool("keepdim", default: false)
        var value = x
        // From the last to the first, so that removed dimensions shift none that is still to come.
        for axis in axes.sorted(by: >) {
            value = try call.add(op, [value], ["dim": .int(axis), "keepdim": .bool(keeps)])
        }
        return value
    }
}
