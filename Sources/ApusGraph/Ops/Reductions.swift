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

    static let sum = OpSpec(
        "sum", .any, "y = Σ x over one dimension", operands: [.one("x")],
        attributes: [.optional("dim", -1), .optional("keepdim", true)]
    ) { c in
        c.require(c[0].element != .bool, "C1", "expected numbers, got \(c[0])")
        guard let axis = c.axis("dim", rank: c[0].rank, "C2") else { return nil }
        var shape = c[0].shape
        if c.bool("keepdim") { shape[axis] = 1 } else { shape.remove(at: axis) }
        return [TensorType(c[0].element, shape)]
    }

    static let any = OpSpec(
        "any", .any, "y = whether any x is true along one dimension", operands: [.one("x")],
        attributes: [.optional("dim", -1), .optional("keepdim", true)]
    ) { c in
        c.require(c[0].element == .bool, "C1", "expected booleans, got \(c[0])")
        guard let axis = c.axis("dim", rank: c[0].rank, "C2") else { return nil }
        var shape = c[0].shape
        if c.bool("keepdim") { shape[axis] = 1 } else { shape.remove(at: axis) }
        return [TensorType(.bool, shape)]
    }

    static let cumsum = OpSpec(
        "cumsum", .any, "y[…, i, …] = Σ x[…, j, …] over j ≤ i along `dim`", operands: [.one("x")],
        attributes: [.required("dim", .int)]
    ) { c in
        c.require(c[0].element != .bool, "C1", "expected numbers, got \(c[0])")
        guard c.axis("dim", rank: c[0].rank, "C2") != nil else { return nil }
        return [c[0]]
    }
}

extension OpSpec {
    /// Keeps one side of the diagonals of the last two dimensions, the rest becomes 0.
    private static func triangle(_ name: String, _ formula: String) -> OpSpec {
        OpSpec(
            name, .any, formula, operands: [.one("x")], attributes: [.optional("diagonal", 0)]
        ) { c in
            c.require(c[0].rank >= 2, "C1", "expected a rank of at least 2, got \(c[0])")
            return [c[0]]
        }
    }

    static let triangles: [OpSpec] = [
        triangle("triu", "y[…, i, j] = x[…, i, j] where j − i ≥ diagonal, else 0"),
        triangle("tril", "y[…, i, j] = x[…, i, j] where j − i ≤ diagonal, else 0"),
    ]
}
