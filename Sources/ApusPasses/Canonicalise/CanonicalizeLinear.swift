import ApusGraph
import ApusSupport

/// Writes every product with a weight as `linear`, whatever the model's code called it.
///
///     addmm(%b, %x, %w)                                  →     linear(%x, transpose(%w), %b)
///     matmul(%x, %w)                                     →     linear(%x, transpose(%w))
///     view(linear(view(%x, [M, K]), %w), […, N])         →     linear(%x, %w)
///     add(linear(%x, %w), %b)                            →     linear(%x, %w, %b)
///
/// Requires the weight to be computed from parameters alone: a product of two activations stays a `matmul`. A
/// weight that is a transpose already loses it.
let canonicalizeLinear = RewritePass(
    "canonicalize-linear",
    [
        Rule(.op("addmm", .weight("b"), .capture("x"), .weight("w"))) { m throws(ApusError) in
            guard m.type(of: m["b"]).rank == 1 else { return nil }
            return try m.add("linear", [m["x"], try m.transposed(m["w"]), m["b"]])
        },
        Rule(.op("matmul", .capture("x"), .weight("w"))) { m throws(ApusError) in
            guard !m.isWeight(m["x"]), m.type(of: m["w"]).rank == 2 else { return nil }
            return try m.add("linear", [m["x"], try m.transposed(m["w"])])
        },
        Rule(
            .op("view", .op("linear", .op("view", .capture("x")), .capture("w"), .optional("b")).once)
        ) { m throws(ApusError) in
            // Only when rows stay rows: the result then has the shape of x but for the last dimension.
            let operands = [m["x"], m["w"]] + (m.optional("b").map { [$0] } ?? [])
            return try m.add("linear", operands)
        },
        Rule(.op("add", .op("linear", .capture("x"), .capture("w"), .absent).once, .weight("b"))) { m throws(ApusError) in
            try m.add("linear", [m["x"], m["w"], m["b"]])
        },
    ])

extension Match {
    /// The transposed weight; the transpose of a transpose is what was transposed.
    fileprivate func transposed(_ weight: Value) throws(ApusError) -> Value {
        if let node = producer(of: weight, "transpose"), node.transposes(0, 1), let inner = node.operand(0) {
            return inner
        }
        return try add("transpose", [weight], ["dim0": 0, "dim1": 1])
    }
}
