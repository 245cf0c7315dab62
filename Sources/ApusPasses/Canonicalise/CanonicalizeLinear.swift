import ApusGraph
import ApusSupport

/// Writes every product with a weight as `linear`, whatever the model's code called it.
///
///     addmm(%b, %x, %w)                                  →     linear(%x, transpose(%w), %b)
///     matmul(%x, %w)                                     →     linear(%x, transpose(%w))
///     view(linear(view(%x, [M, K]), %w), […, N])         →     linear(view(%x, […, K]), %w)
///     linear(view(%x, [M, K]), %w), %x of [B, S, K]      →     view(linear(%x, %w), [M, N])
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
            // The projection treats rows alike, so they may as well have the shape that is wanted afterwards.
            guard let width = m.type(of: m["w"]).shape.last else { return nil }
            let shape = Array(m.type(of: m.root).shape.dropLast()) + [width]
            var x = m["x"]
            if m.type(of: x).shape != shape { x = try m.add("view", [x], ["shape": .dimensions(shape)]) }
            return try m.add("linear", [x, m["w"]] + (m.optional("b").map { [$0] } ?? []))
        },
        Rule(.op("linear", .op("view", .capture("x")).captured(as: "rows"), .capture("w"), .optional("b"))) {
            m throws(ApusError) in
            // With the view behind it, it meets the view that splits rows, or heads, again.
            let x = m.type(of: m["x"]).shape
            guard m.type(of: m["rows"]).rank == 2, x.count == 3,
                m.type(of: m["rows"]).shape == [x[0] * x[1], x[2]]
            else { return nil }
            let result = try m.add("linear", [m["x"], m["w"]] + (m.optional("b").map { [$0] } ?? []))
            return try m.add("view", [result], ["shape": .dimensions(m.type(of: m.root).shape)])
        },
        Rule(.op("add", .op("linear", .capture("x"), .capture("w"), .absent).once, .weight("b"))) {
            m throws(ApusError) in
            try m.add("linear", [m["x"], m["w"], m["b"]])
        },
    ] + moveRules)

extension Match {
    /// The transposed weight; the transpose of a transpose is what was transposed.
    fileprivate func transposed(_ weight: Value) throws(ApusError) -> Value {
        if let node = producer(of: weight, "transpose"), node.transposes(0, 1), let inner = node.operand(0) {
            return inner
        }
        return try add("transpose", [weight], ["dim0": 0, "dim1": 1])
    }
}
