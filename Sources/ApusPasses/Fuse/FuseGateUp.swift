import ApusGraph
import ApusSupport

/// Makes one projection of the gate and up projections of a gated MLP, so that the input is read once.
///
///     %g = linear(%x, %wg) ; %u = linear(%x, %wu) ; %y = mul(silu(%g), %u)
///         →     %p = linear(%x, cat(%wg, %wu)) ; %g = slice(%p, 0..<I) ; %u = slice(%p, I..<2·I)
///               %y = mul(silu(%g), %u)
///
/// Biases are concatenated as well; a missing one beside a present one is zero. Requires both projections to be of
/// one width and to have no other user.
let fuseGateUp = RewritePass(
    "fuse-gate-up",
    [
        Rule(
            .op(
                "mul",
                .op(
                    "silu",
                    .op("linear", .capture("x"), .weight("wg"), .optional("bg")).once.captured(as: "gate")
                ).once,
                .op("linear", .capture("x"), .weight("wu"), .optional("bu")).once.captured(as: "up"))
        ) { m throws(ApusError) in
            guard m.type(of: m["gate"]) == m.type(of: m["up"]) else { return nil }
            let parts = try m.fusedLinear(
                m["x"],
                [
                    .init(m["gate"], weight: m["wg"], bias: m.optional("bg")),
                    .init(m["up"], weight: m["wu"], bias: m.optional("bu")),
                ], name: "gate_up_proj")
            guard let parts else { return nil }
            return try m.add("mul", [try m.add("silu", [parts[0]]), parts[1]])
        }
    ])
