extension OpSpec {
    static let index = OpSpec(
        "index", .any,
        "y[i…, r…] = x[a[i…], b[i…], …, r…]: integer tensors, broadcast together, index the leading dimensions",
        operands: [.one("x"), .variadic("indices")]
    ) { c in
        var shape: [Dimension] = []
        for position in 1..<c.operands.count {
            c.require(c[position].element.isInteger, "C1", "expected integer indices, got \(c[position])")
            guard let common = Shapes.broadcast(shape, c[position].shape) else {
                c.fail("C2", "the indices do not broadcast")
                return nil
            }
            shape = common
        }
        guard c.operands.count - 1 <= c[0].rank else {
            c.fail("C3", "\(c.operands.count - 1) indices exceed the rank of \(c[0])")
            return nil
        }
        return [TensorType(c[0].element, shape + c[0].shape.dropFirst(c.operands.count - 1))]
    }

    static let indexSelect = OpSpec(
        "index_select", .any, "y[…, i, …] = x[…, index[i], …] along `dim`",
        operands: [.one("x"), .one("index")], attributes: [.required("dim", .int)]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank, "C1") else { return nil }
        guard c[1].rank == 1, c[1].element.isInteger else {
            c.fail("C2", "expected an integer index of rank 1, got \(c[1])")
            return nil
        }
        var shape = c[0].shape
        shape[axis] = c[1].shape[0]
        return [TensorType(c[0].element, shape)]
    }

    static let indexCopy = OpSpec(
        "index_copy", .aten, "y = x with y[…, index[i], …] = source[…, i, …] along `dim`",
        operands: [.one("x"), .one("index"), .one("source")], attributes: [.required("dim", .int)]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank, "C1") else { return nil }
        guard c[1].rank == 1, c[1].element.isInteger else {
            c.fail("C2", "expected an integer index of rank 1, got \(c[1])")
            return nil
        }
        var expected = c[0].shape
        expected[axis] = c[1].shape[0]
        c.require(
            c[2] == TensorType(c[0].element, expected), "C3",
            "expected source \(TensorType(c[0].element, expected)), got \(c[2])")
        return [c[0]]
    }

    static let kvUpdate = OpSpec(
        "kv_update", .engine,
        "y = cache with rows start ..< start + S replaced by new, in place; cache [B, Hkv, capacity, D], "
            + "new [B, Hkv, S, D]",
        operands: [.one("cache"), .one("new")], attributes: [.size("start")]
    ) { c in
        guard c[0].rank == 4, c[1].rank == 4 else {
            c.fail("C1", "expected cache and new of rank 4, got \(c[0]) and \(c[1])")
            return nil
        }
        var expected = c[0].shape
        expected[2] = c[1].shape[2]
        c.require(
            c[1].shape == expected && c[1].element.isFloat && c[0].element.isFloat, "C2",
            "expected new \(TensorType(c[1].element, expected)), got \(c[1])")
        return [c[0]]
    }
}
