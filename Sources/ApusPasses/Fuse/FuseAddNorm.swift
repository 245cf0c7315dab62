import ApusGraph
import ApusSupport

/// Fuses a residual addition with the norm that follows it, so that the sum is read and written once.
///
///     %sum = add(%x, %delta) ; %y = rms_norm(%sum, %w)      →     %sum, %y = add_rms_norm(%x, %delta, %w)
///     %sum = add(%x, %delta) ; %y = layer_norm(%sum, %w, %b)
///                                                           →     %sum, %y = add_layer_norm(%x, %delta, %w, %b)
///
/// Other users of the sum, such as the next residual, take it from the fused op. Requires `%x` and `%delta` of one
/// type: an addition that broadcasts stays.
let fuseAddNorm = RewritePass(
    "fuse-add-norm",
    [
        Rule(.op("rms_norm", sum, .weight("w"))) { m throws(ApusError) in
            guard let norm = m.producer(of: m.root, "rms_norm"), let eps = norm.float("eps") else {
                return nil
            }
            let fused = try m.addNode(
                "add_rms_norm", [m["x"], m["delta"], m["w"]], ["eps": .float(eps)])
            m.replace(m["sum"], with: fused[0])
            return fused[1]
        },
        Rule(.op("layer_norm", sum, .weight("w"), .optional("b"))) { m throws(ApusError) in
            guard let norm = m.producer(of: m.root, "layer_norm"), let eps = norm.float("eps"),
                m.optional("b").map(m.isWeight) ?? true
            else { return nil }
            let operands = [m["x"], m["delta"], m["w"]] + (m.optional("b").map { [$0] } ?? [])
            let fused = try m.addNode("add_layer_norm", operands, ["eps": .float(eps)])
            m.replace(m["sum"], with: fused[0])
            return fused[1]
        },
    ])

private let sum = Pattern.op("add", .capture("x"), .capture("delta")).captured(as: "sum")
