import ApusGraph
import ApusSupport

/// Finds the sigmoid linear unit where it is written out.
///
///     %s = sigmoid(%x) ; %y = mul(%x, %s)     →     %y = silu(%x)
///
/// Factors may be in any order; nothing else may use the sigmoid.
let fuseSiLU = RewritePass(
    "fuse-silu",
    [
        Rule(.op("mul", .capture("x"), .op("sigmoid", .capture("x")).once)) { m throws(ApusError) in
            try m.add("silu", [m["x"]])
        }
    ])
