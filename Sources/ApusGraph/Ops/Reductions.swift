extension OpSpec {
    static let mean = OpSpec(
        "mean", .any, "y = mean of x over one dimension", operands: [.one("x")],
        attributes: [.optional("dim", -1), .optional("keepdim", true)]
    ) { c in
        c.require(c[0].element.isFloat, "C1", "expected a floating-point operand, got \(c[0])")
        guard let axis = c.axis("dim", rank: c[0].rank, "C2") else { return nil }
        var shape = c[0].shape
        if c.bool("keepdim") { shape[axis] = 1 } else { shape.remove(at: axis) }
        return [TensorType(c[0].element, shape)]
    }

    static let softmax = OpSpec(
        "softmax", .any, "y = e^x / Σ e^x over one dimension", operands: [.one("x")],
        attributes: [.optional("dim", -1)]
    ) { c in
        c.require(c[0].element.isFloat, "C1", "expected a floating-point operand, got \(c[0])")
        guard c.axis("dim", rank: c[0].rank, "C2") != nil else { return nil }
        return [c[0]]
    }
}
