import ApusGraph
import ApusSupport

/// Finds RMS normalisation as transformers' `*RMSNorm.forward` writes it.
///
///     %s = pow(%x) {exponent = 2.0} ; %m = mean(%s) {dim = -1, keepdim = true} ; %e = add(%m, eps)
///     %r = rsqrt(%e) ; %n = mul(%x, %r) ; %y = mul(%w, %n)     →     %y = rms_norm(%x, %w) {eps}
///
/// Takes `x·x` for the square and `x / √…` for the quotient, operands in any order. Requires a weight of shape [H]
/// and that nothing else uses the steps between.
let fuseRMSNorm = RewritePass(
    "fuse-rms-norm",
    [
        Rule(.op("mul", .oneOf([normalized, quotient]).once, .capture("w"))) { m throws(ApusError) in
            try m.add("rms_norm", [m["x"], m["w"]], ["eps": .float(m.number("eps"))])
        }
    ])

private let square = Pattern.oneOf([
    .op("pow", .capture("x"), where: { $0.float("exponent") == 2 }),
    .op("mul", .capture("x"), .capture("x")),
])

private let meanSquare = Pattern.op(
    "add", .op("mean", square.once, where: { $0.isLast("dim") && $0.bool("keepdim") }).once, .number("eps"))

private let normalized = Pattern.op("mul", .capture("x"), .op("rsqrt", meanSquare.once).once)

private let quotient = Pattern.op("div", .capture("x"), .op("sqrt", meanSquare.once).once)
