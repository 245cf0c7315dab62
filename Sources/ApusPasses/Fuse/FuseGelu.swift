import ApusGraph
import ApusSupport

/// Finds the Gaussian error linear unit, exact and approximated, as transformers' activations write it.
///
///     %i = mul(√(2/π), add(%x, mul(0.044715, pow(%x, 3))))
///     %y = mul(mul(0.5, %x), add(1, tanh(%i)))               →     %y = gelu(%x) {approximate = "tanh"}
///
///     %y = mul(mul(%x, 0.5), add(1, erf(div(%x, √2))))       →     %y = gelu(%x)
///
/// Products may be taken in any order, the cube as x·x·x, the quotient as a product with 1/√2. The constants must
/// agree to 1e-6, and nothing else may use the steps between.
let fuseGelu = RewritePass(
    "fuse-gelu",
    [
        Rule(gate(.op("tanh", tanhArgument.once))) { m throws(ApusError) in
            try m.add("gelu", [m["x"]], ["approximate": "tanh"])
        },
        Rule(gate(.op("erf", erfArgument.once))) { m throws(ApusError) in
            try m.add("gelu", [m["x"]])
        },
    ])

/// x/2·(1 + inner).
private func gate(_ inner: Pattern) -> Pattern {
    .product(.scalar(0.5), .capture("x"), .op("add", .scalar(1), inner.once).once)
}

private let cube = Pattern.oneOf([
    .op("pow", .capture("x"), where: { $0.float("exponent") == 3 }),
    .op("mul", .op("mul", .capture("x"), .capture("x")).once, .capture("x")),
    .op(
        "mul", .op("pow", .capture("x"), where: { $0.float("exponent") == 2 }).once, .capture("x")),
])

private let tanhArgument = Pattern.op(
    "mul", .scalar((2 / Double.pi).squareRoot()),
    .op("add", .capture("x"), .op("mul", .scalar(0.044715), cube.once).once).once)

private let erfArgument = Pattern.oneOf([
    .op("div", .capture("x"), .scalar(2.0.squareRoot())),
    .op("mul", .capture("x"), .scalar(0.5.squareRoot())),
])
