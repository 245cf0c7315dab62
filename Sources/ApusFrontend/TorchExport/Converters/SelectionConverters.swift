import ApusGraph
import ApusSupport

/// Elements chosen by a condition or by where they stand.
extension ConverterRegistry {
    static let selection: [String: Converter] = [
        "aten.where.self": choose, "aten.where.ScalarOther": choose, "aten.where.ScalarSelf": choose,
        "aten.where.Scalar": choose,
        "aten.masked_fill.Scalar": maskedFill, "aten.masked_fill.Tensor": maskedFill,
        "aten.triu.default": triangle("triu"), "aten.tril.default": triangle("tril"),
        "aten.constant_pad_nd.default": pad, "aten.pad.default": pad,
        "aten.diff.default": { call throws(ApusError) in
            guard try call.int("n", default: 1) == 1 else {
                throw call.unsupported("differences of higher order")
            }
            var x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim", default: -1), rank: call.type(of: x).rank)
            let before = try call.optionalTensor("prepend").map { [$0] } ?? []
            let after = try call.optionalTensor("append").map { [$0] } ?? []
            let parts = before + [x] + after
            if parts.count > 1 { x = try call.add("cat", parts, ["dim": .int(axis)]) }
            let size = call.type(of: x).shape[axis]
            let upper = try call.slice(x, axis: axis, 1, size)
            let lower = try call.slice(x, axis: axis, 0, size - 1)
            if call.type(of: x).element == .bool { return [try call.add("logical_xor", [upper, lower])] }
            return [try call.add("sub", [upper, lower])]
        },
    ]

    private static let choose: Converter = { call throws(ApusError) in
        let values = try call.promoted([try call.operand("self"), try call.operand("other")])
        let condition = try call.truth(try call.promoted([try call.operand("condition")])[0])
        return [try call.pointwise("where", [condition] + values)]
    }

    /// `value` where the mask is true, in the type of `self`.
    private static let maskedFill: Converter = { call throws(ApusError) in
        let x = try call.tensor("self")
        let value = try call.promoted([try call.operand("value")], as: call.type(of: x).element)[0]
        return [try call.add("where", [try call.tensor("mask"), value, x])]
    }

    private static func triangle(_ op: String) -> Converter {
        { call throws(ApusError) in
            [
                try call.add(
                    op, [try call.tensor("self")], ["diagonal": .int(try call.int("diagonal", default: 0))])
            ]
        }
    }

    /// Pads the last dimensions; a negative amount cuts.
    private static let pad: Converter = { call throws(ApusError) in
        let mode = try call.string("mode", default: "constant")
        guard mode == "constant" else { throw call.unsupported("padding of mode '\(mode)'") }
        var x = try call.tensor("self")
        let rank = call.type(of: x).rank
        let amounts = try call.sizes("pad") ?? []
        let value = try call.number("value") ?? 0
        guard amounts.count % 2 == 0, amounts.count / 2 <= rank else {
            throw ApusError(
                .invalidInput, "expected up to \(rank) pairs to pad by, got \(amounts.count) numbers")
        }
        for index in 0..<amounts.count / 2 {
            let axis = rank - 1 - index
            var (before, after) = (amounts[2 * index], amounts[2 * index + 1])
            let size = call.type(of: x).shape[axis]
            let start = before.constant.map { $0 < 0 } == true ? before * -1 : 0
            let end = after.constant.map { $0 < 0 } == true ? size + after : size
            x = try call.slice(x, axis: axis, start, end)
            if start != 0 { before = 0 }
            if end != size { after = 0 }
            if before == 0, after == 0 { continue }
            x = try call.add(
                "pad", [x],
                ["dim": .int(axis), "before": .size(before), "after": .size(after), "value": .float(value)])
        }
        return [x]
    }
}
