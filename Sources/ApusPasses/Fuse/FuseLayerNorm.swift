import ApusGraph
import ApusSupport

/// Finds layer normalisation that is written out in its steps.
///
///     %m = mean(%x) ; %d = sub(%x, %m) ; %v = mean(pow(%d, 2)) ; %r = rsqrt(add(%v, eps))
///     %n = mul(%d, %r) ; %s = mul(%n, %w) ; %y = add(%s, %b)     →     %y = layer_norm(%x, %w, %b) {eps}
///
/// Takes `d·d` for the square and `d / √…` for the quotient, operands in any order; the bias may be missing.
/// Means are over the last dimension. The op `layer_norm` itself stays as it is.
let fuseLayerNorm = RewritePass(
    "fuse-layer-norm",
    [
        Rule(.op("mul", .oneOf([normalized, quotient]).once, .capture("w"))) { m throws(ApusError) in
            try m.add("layer_norm", [m["x"], m["w"]], ["eps": .float(m.number("eps"))])
        },
        Rule(
            .op(
                "add",
                .op(
                    "layer_norm", .capture("x"), .capture("w"), .absent
                ).once.captured(as: "norm"), .weight("b"))
        ) { m throws(ApusError) in
            guard let norm = m.producer(of: m["norm"], "layer_norm"), let eps = norm.float("eps") else {
                return nil
            }
            return try m.add("layer_norm", [m["x"], m["w"], m["b"]], ["eps": .float(eps)])
        },
    ])

private func mean(_ operand: Pattern) -> Pattern {
    .op("mean", operand, where: { $0.isLast("dim") && $0.bool("keepdim") })
}

private let centred = Pattern.op("sub", .capture("x"), mean(.capture("x")).once).captured(as: "d")

private let square = Pattern.oneOf([
    .op("pow", centred, where: { $0.float("exponent") == 2 }),
    .op("mul", centred, centred),
])

private let variance = Pattern.op("add", mean(square.once).once, .number("eps"))

private let normalized = Pattern.op("mul", centred, .op("rsqrt", variance.once).once)

private let quotient = Pattern.op("div", centred, .op("sqrt", variance.once).once)
