import ApusGraph
import ApusSupport

/// Removes what does nothing, and joins what moves elements twice.
///
///     add(%x, 0) | sub(%x, 0) | mul(%x, 1) | div(%x, 1) | pow(%x, 1) | neg(neg(%x)) | cat(%x)   →   %x
///     view, expand, to, slice, transpose, permute that change nothing                          →   %x
///     view(view(%x)) | view(unsqueeze(%x))                                                     →   view(%x)
///     transpose and permute after one another   →   one transpose if that does it, a permute if not, or just %x
///     permute that exchanges two dimensions                                                    →   transpose(%x)
///     expand(expand(%x))                                                                       →   expand(%x)
///     slice(slice(%x)) along the same dimension                                                →   slice(%x)
///     slice(pad(%x)) that takes nothing of the padding                                         →   slice(%x)
///     div(1, sqrt(%x))                                                                         →   rsqrt(%x)
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
        Rule(.op("div", .splat(1, tolerance: 0), .op("sqrt", .capture("x")))) { m throws(ApusError) in
            try m.add("rsqrt", [m["x"]])
        },
    ] + moveRules)
