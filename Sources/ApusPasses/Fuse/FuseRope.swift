import ApusGraph
import ApusSupport

/// Finds the rotary position embedding of transformers' `apply_rotary_pos_emb`, whole and partial.
///
///     %h = cat(neg(slice(%x, R/2..<R)), slice(%x, 0..<R/2))
///     %y = add(mul(%x, %cos), mul(%h, %sin))                     →     %y = rope(%x, %cos, %sin)
///
///     %r = rope(slice(%x, 0..<R), %cos, %sin)
///     %y = cat(%r, slice(%x, R..<D))                             →     %y = rope(%x, %cos, %sin)
///
/// The halves must be those of `rotate_half`: pairs (i, i + R/2). Interleaved pairs (2i, 2i + 1) are left alone.
let fuseRope = RewritePass(
    "fuse-rope",
    [
        Rule(
            .op(
                "add", .op("mul", rotated, .capture("cos")).once,
                .op("mul", rotatedHalf.once, .capture("sin")).once)
        ) { m throws(ApusError) in
            let x = m.optional("cut") ?? m["whole"]
            guard let size = m.type(of: x).shape.last?.constant, size % 2 == 0 else { return nil }
            var start = 0
            if let cut = m.optional("cut") {
                guard let range = m.producer(of: cut, "slice")?.lastSlice else { return nil }
                start = range.lowerBound
            }
            let middle = start + size / 2
            guard m.producer(of: m["high"], "slice")?.lastSlice == middle..<start + size,
                m.producer(of: m["low"], "slice")?.lastSlice == start..<middle
            else { return nil }
            return try m.add("rope", [x, m["cos"], m["sin"]])
        },
        Rule(
            .op(
                "cat",
                .op(
                    "rope", .op("slice", .capture("x")).captured(as: "front"), .capture("cos"),
                    .capture("sin")
                ).once, .op("slice", .capture("x")).captured(as: "rest"), where: isAlongLast)
        ) { m throws(ApusError) in
            guard let size = m.type(of: m["x"]).shape.last?.constant,
                let rotary = m.type(of: m["cos"]).shape.last?.constant,
                m.producer(of: m["front"], "slice")?.lastSlice == 0..<rotary,
                m.producer(of: m["rest"], "slice")?.lastSlice == rotary..<size
            else { return nil }
            return try m.add("rope", [m["x"], m["cos"], m["sin"]])
        },
    ])

@Sendable private func isAlongLast(_ node: NodeView) -> Bool { node.isLast("dim") }

/// What is rotated, or the slice of it that is: the halves may be cut from either.
private let rotated = Pattern.oneOf([
    .capture("whole"), .op("slice", .capture("whole")).captured(as: "cut"),
])

private let rotatedHalf = Pattern.op(
    "cat", .op("neg", .op("slice", .capture("whole")).captured(as: "high")).once,
    .op("slice", .capture("whole")).captured(as: "low"), where: isAlongLast)
