extension OpSpec {
    static let rope = OpSpec(
        "rope", .engine,
        "rotary position embedding over the first R of D dims, pairs (i, i + R/2): "
            + "y = x·cos + rotate_half(x)·sin; x […, D], cos and sin broadcast to […, R]",
        operands: [.one("x"), .one("cos"), .one("sin")]
    ) { c in
        guard let size = c[0].shape.last?.constant, let rotary = c[1].shape.last?.constant else {
            c.fail("C1", "expected constant last dimensions, got \(c[0]) and \(c[1])")
            return nil
        }
        c.require(c[1] == c[2], "C2", "expected cos and sin of one type, got \(c[1]) and \(c[2])")
        c.require(
            rotary <= size && rotary % 2 == 0, "C3",
            "expected an even rotary size up to \(size), got \(rotary)")
        let target = c[0].shape.dropLast() + [Dimension(rotary)]
        c.require(
            Shapes.broadcasts(c[1].shape, to: Array(target)), "C4",
            "cos \(c[1]) does not broadcast to x \(c[0])")
        return [c[0]]
    }

    static let ropeTable = OpSpec(
        "rope_table", .engine,
        "table[0, p, :] = (cos(p·inv_freq), sin(p·inv_freq))·scaling for p < positions; f32 [1, positions, R]",
        operands: [.one("inv_freq")],
        attributes: [.required("positions", .int), .optional("scaling", 1.0)]
    ) { c in
        guard c[0].rank == 1, c[0].element == .f32 else {
            c.fail("C1", "expected frequencies f32[R/2], got \(c[0])")
            return nil
        }
        c.require(c.int("positions") > 0, "C2", "expected at least 1 position, got \(c.int("positions"))")
        return [TensorType(.f32, [1, Dimension(c.int("positions")), c[0].shape[0] * 2])]
    }
}
