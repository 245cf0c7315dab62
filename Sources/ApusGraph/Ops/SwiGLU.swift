extension OpSpec {
    static let swiglu = OpSpec(
        "swiglu", .engine, "y = silu(x[…, :I])·x[…, I:]; x […, 2·I], y […, I]", operands: [.one("x")]
    ) { c in
        guard let width = c[0].shape.last?.constant, width % 2 == 0, c[0].element.isFloat else {
            c.fail("C1", "expected a floating-point x with an even last dimension, got \(c[0])")
            return nil
        }
        return [TensorType(c[0].element, c[0].shape.dropLast() + [Dimension(width / 2)])]
    }
}
