import ApusGraph
import ApusSupport

/// Cosines and sines of the angles of each position, ready to be multiplied with heads: [B, 1, S, R].
struct RotaryTable {
    let cosines: Value
    let sines: Value
}

extension GraphBuilder {
    /// `LlamaRotaryEmbedding`: the angles of the positions [B, S], in `f32`.
    mutating func rotaryTable(
        _ positions: Value, _ frequencies: [Float], scaling: Double = 1
    ) throws(ApusError) -> RotaryTable {
        try module("rotary_emb") { builder throws(ApusError) in
            let literal = TensorLiteral(
                TensorType(.f32, [frequencies.count]), frequencies.map { Double($0) })
            let constant = builder.constant(literal, name: "inv_freq")
            let column = try builder.add("unsqueeze", [positions], ["dim": -1])
            let numbers = try builder.add("to", [column], ["element": .element(.f32)])
            let angles = try builder.add("mul", [numbers, constant])
            let both = try builder.add("cat", [angles, angles], ["dim": -1])
            var parts: [Value] = []
            for function in ["cos", "sin"] {
                var part = try builder.add(function, [both], name: scaling == 1 ? function : nil)
                if scaling != 1 {
                    part = try builder.add("mul", [part, builder.scalar(scaling)], name: function)
                }
                parts.append(try builder.add("unsqueeze", [part], ["dim": 1]))
            }
            return RotaryTable(cosines: parts[0], sines: parts[1])
        }
    }

    /// `apply_rotary_pos_emb` on heads [B, H, S, D]: the first R dims turn, the others pass through.
    mutating func rotated(_ x: Value, _ table: RotaryTable) throws(ApusError) -> Value {
        guard let size = shape(x).last?.constant, let rotary = shape(table.cosines).last?.constant else {
            throw ApusError(.internal, "rotary embedding of heads without a constant size")
        }
        let turning = rotary == size ? x : try add("slice", [x], ["dim": -1, "end": .int(rotary)])
        let first = try add("slice", [turning], ["dim": -1, "end": .int(rotary / 2)])
        let second = try add("slice", [turning], ["dim": -1, "start": .int(rotary / 2)])
        let half = try add("cat", [try add("neg", [second]), first], ["dim": -1])
        let turned = try add(
            "add", [try add("mul", [turning, table.cosines]), try add("mul", [half, table.sines])])
        if rotary == size { return turned }
        let rest = try add("slice", [x], ["dim": -1, "start": .int(rotary)])
        return try add("cat", [turned, rest], ["dim": -1])
    }
}
