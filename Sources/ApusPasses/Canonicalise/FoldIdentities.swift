import ApusGraph
import ApusSupport

/// Removes what does nothing, and joins what moves elements twice.
///
///     add(%x, 0) | sub(%x, 0) | mul(%x, 1) | div(%x, 1) | pow(%x, 1) | neg(neg(%x)) | cat(%x)   →   %x
///     view, expand, to, slice, transpose, permute that change nothing                          →   %x
///     view(view(%x)) | view(unsqueeze(%x))                                                     →   view(%x)
///     transpose(transpose(%x)) of the same two dimensions                                      →   %x
///     slice(slice(%x)) along the same dimension                                                →   slice(%x)
///
/// An addition or product with a constant that also broadcasts stays.
let foldIdentities = RewritePass(
    "fold-identities",
    [
        Rule(.op("add", .capture("x"), .splat(0, tolerance: 0))) { m in m["x"] },
        Rule(.op("sub", .capture("x"), .splat(0, tolerance: 0))) { m in m["x"] },
        Rule(.op("mul", .capture("x"), .splat(1, tolerance: 0))) { m in m["x"] },
        Rule(.op("div", .capture("x"), .splat(1, tolerance: 0))) { m in m["x"] },
        Rule(.op("pow", .capture("x"), where: { $0.float("exponent") == 1 })) { m in m["x"] },
        Rule(.op("neg", .op("neg", .capture("x")))) { m in m["x"] },
        // A rule whose result has another type than what it replaces is not applied.
        Rule(.op("cat", .capture("x"))) { m in m["x"] },
        Rule(.op("view", .capture("x"))) { m in m["x"] },
        Rule(.op("expand", .capture("x"))) { m in m["x"] },
        Rule(.op("to", .capture("x"))) { m in m["x"] },
        Rule(.op("slice", .capture("x"))) { m in m["x"] },
        Rule(.op("transpose", .capture("x"), where: { $0.axis("dim0") == $0.axis("dim1") })) { m in m["x"] },
        Rule(.op("permute", .capture("x"), where: isInOrder)) { m in m["x"] },
        Rule(.op("view", .oneOf([.op("view", .capture("x")), .op("unsqueeze", .capture("x"))]))) {
            m throws(ApusError) in
            try m.add("view", [m["x"]], ["shape": .dimensions(m.type(of: m.root).shape)])
        },
        Rule(.op("transpose", .op("transpose", .capture("x")).captured(as: "inner"))) { m throws(ApusError) in
            guard let outer = m.producer(of: m.root, "transpose"),
                let inner = m.producer(of: m["inner"], "transpose"),
                let a = outer.axis("dim0"), let b = outer.axis("dim1"), inner.transposes(a, b)
            else { return nil }
            return m["x"]
        },
        Rule(.op("slice", .op("slice", .capture("x")).captured(as: "inner"))) { m throws(ApusError) in
            guard let outer = m.producer(of: m.root, "slice")?.slice,
                let inner = m.producer(of: m["inner"], "slice")?.slice, outer.axis == inner.axis
            else { return nil }
            let start = inner.range.lowerBound + outer.range.lowerBound
            return try m.add(
                "slice", [m["x"]],
                ["dim": .int(outer.axis), "start": .int(start), "end": .int(start + outer.range.count)])
        },
    ])

@Sendable private func isInOrder(_ node: NodeView) -> Bool {
    node.dimensions("dims") == (0..<node.type.rank).map { Dimension($0) }
}
