import ApusGraph
import ApusSupport

/// Removes what exporters leave where gradients and memory layouts mattered.
///
///     detach(%x) | clone(%x)     →     %x
let removeDetach = RewritePass(
    "remove-detach",
    [
        Rule(.op("detach", .capture("x"))) { m in m["x"] },
        Rule(.op("clone", .capture("x"))) { m in m["x"] },
    ])

/// Removes assertions of element types, which the verifier has checked by then.
///
///     assert_element(%x) {element = f32}     →     %x
let removeAsserts = RewritePass(
    "remove-asserts", [Rule(.op("assert_element", .capture("x"))) { m in m["x"] }])
