import ApusGraph
import ApusSupport

/// Fuses the gated activation of an MLP, when gate and up projection come as one tensor.
///
///     %g = slice(%p, 0..<I) ; %u = slice(%p, I..<2·I) ; %a = silu(%g) ; %y = mul(%a, %u)
///                                                                      →     %y = swiglu(%p)
///
/// Requires the gate to be the first half and the halves to be all of `%p`; nothing else may use the activation.
let fuseSwiGLU = RewritePass(
    "fuse-swiglu",
    [
        Rule(
            .op(
                "mul", .op("silu", .op("slice", .capture("p")).captured(as: "gate")).once,
                .op("slice", .capture("p")).captured(as: "up"))
        ) { m throws(ApusError) in
            guard let width = m.type(of: m["p"]).shape.last?.constant, width % 2 == 0,
                m.producer(of: m["gate"], "slice")?.lastSlice == 0..<width / 2,
                m.producer(of: m["up"], "slice")?.lastSlice == width / 2..<width
            else { return nil }
            return try m.add("swiglu", [m["p"]])
        }
    ])
