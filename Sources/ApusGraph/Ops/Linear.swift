extension OpSpec {
    static let linear = OpSpec(
        "linear", .any, "y = x·weightᵀ + bias; x […, K], weight [N, K], bias [N], y […, N]",
        operands: [.one("x"), .one("weight"), .optional("bias")]
    ) { c in
        c.require(c[0].rank >= 1, "C1", "expected x of rank 1 or more, got \(c[0])")
        guard c[1].rank == 2 else {
            c.fail("C2", "expected a weight of rank 2, got \(c[1])")
            return nil
        }
        c.require(
            c[0].shape.last == c[1].shape[1], "C3",
            "x \(c[0]) and weight \(c[1]) differ in their last dimension")
        c.require(
            c[0].element.isFloat && c[1].element.isFloat, "C4",
            "expected floating-point operands, got \(c[0]) and \(c[1])")
        if let bias = c.optional(2) {
            c.require(
                bias.shape == [c[1].shape[0]], "C5",
                "expected a bias of shape [\(c[1].shape[0])], got \(bias)")
        }
        return [TensorType(c[0].element, c[0].shape.dropLast() + [c[1].shape[0]])]
    }

    static let addmm = OpSpec(
        "addmm", .aten, "y = bias + x·weight; x [M, K], weight [K, N], bias [N], y [M, N]",
        operands: [.one("bias"), .one("x"), .one("weight")]
    ) { c in
        guard c[1].rank == 2, c[2].rank == 2 else {
            c.fail("C1", "expected x and weight of rank 2, got \(c[1]) and \(c[2])")
            return nil
        }
        c.require(
            c[1].shape[1] == c[2].shape[0], "C2", "x \(c[1]) and weight \(c[2]) do not multiply")
        let shape = [c[1].shape[0], c[2].shape[1]]
        c.require(
            Shapes.broadcasts(c[0].shape, to: shape), "C3",
            "bias \(c[0]) does not broadcast to \(TensorType(c[1].element, shape))")
        return [TensorType(c[1].element, shape)]
    }

    static let matmul = OpSpec(
        "matmul", .any, "y = a·b; a […, M, K], b […, K, N], leading dimensions broadcast",
        operands: [.one("a"), .one("b")]
    ) { c in
        guard c[0].rank >= 2, c[1].rank >= 2 else {
            c.fail("C1", "expected operands of rank 2 or more, got \(c[0]) and \(c[1])")
            return nil
        }
        c.require(
            c[0].shape.last == c[1].shape[c[1].rank - 2], "C2", "\(c[0]) and \(c[1]) do not multiply")
        c.require(
            c[0].element == c[1].element, "C3",
            "expected operands of one element type, got \(c[0]) and \(c[1])")
        guard let batch = Shapes.broadcast(c[0].shape.dropLast(2), c[1].shape.dropLast(2)) else {
            c.fail("C4", "leading dimensions of \(c[0]) and \(c[1]) do not broadcast")
            return nil
        }
        return [TensorType(c[0].element, batch + [c[0].shape[c[0].rank - 2], c[1].shape[c[1].rank - 1]])]
    }
}
