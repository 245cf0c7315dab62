extension OpSpec {
    static let view = OpSpec(
        "view", .any, "y = x with another shape and the same elements in row-major order",
        operands: [.one("x")], attributes: [.required("shape", .dimensions)]
    ) { c in
        let type = TensorType(c[0].element, c.dimensions("shape"))
        c.require(
            type.elementCount == c[0].elementCount, "C1",
            "\(c[0]) has \(c[0].elementCount) elements, \(type) has \(type.elementCount)")
        return [type]
    }

    static let transpose = OpSpec(
        "transpose", .any, "y = x with two dimensions exchanged", operands: [.one("x")],
        attributes: [.required("dim0", .int), .required("dim1", .int)]
    ) { c in
        guard let a = c.axis("dim0", rank: c[0].rank, "C1"), let b = c.axis("dim1", rank: c[0].rank, "C1")
        else { return nil }
        var shape = c[0].shape
        shape.swapAt(a, b)
        return [TensorType(c[0].element, shape)]
    }

    static let permute = OpSpec(
        "permute", .any, "y = x with dimensions reordered: y.shape[i] = x.shape[dims[i]]",
        operands: [.one("x")], attributes: [.required("dims", .dimensions)]
    ) { c in
        let order = c.dimensions("dims").compactMap(\.constant)
        guard order.sorted() == Array(0..<c[0].rank) else {
            c.fail("C1", "expected a permutation of 0..<\(c[0].rank), got \(order)")
            return nil
        }
        let shape = c[0].shape
        return [TensorType(c[0].element, order.map { shape[$0] })]
    }

    static let unsqueeze = OpSpec(
        "unsqueeze", .any, "y = x with a dimension of size 1 inserted at `dim`", operands: [.one("x")],
        attributes: [.required("dim", .int)]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank + 1, "C1") else { return nil }
        var shape = c[0].shape
        shape.insert(1, at: axis)
        return [TensorType(c[0].element, shape)]
    }

    static let expand = OpSpec(
        "expand", .any, "y = x repeated along dimensions of size 1 to `shape`", operands: [.one("x")],
        attributes: [.required("shape", .dimensions)]
    ) { c in
        let type = TensorType(c[0].element, c.dimensions("shape"))
        c.require(
            Shapes.broadcasts(c[0].shape, to: type.shape), "C1", "\(c[0]) does not broadcast to \(type)")
        return [type]
    }

    static let slice = OpSpec(
        "slice", .any, "y = x[…, start:end, …] along `dim`; end −1 is the dimension's size",
        operands: [.one("x")],
        attributes: [.required("dim", .int), .size("start", 0), .size("end", -1)]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank, "C1") else { return nil }
        var shape = c[0].shape
        let start = c.size("start")
        let end = c.size("end") == -1 ? shape[axis] : c.size("end")
        // What mentions a symbol is checked when the symbol has a value.
        let isReversed = (end - start).constant.map { $0 < 0 } ?? false
        c.require(
            start.constant.map { $0 >= 0 } ?? true && !isReversed, "C2", "bad range \(start)..<\(end)")
        if let excess = (end - shape[axis]).constant {
            c.require(excess <= 0, "C3", "range \(start)..<\(end) exceeds dimension \(shape[axis])")
        }
        shape[axis] = end - start
        return [TensorType(c[0].element, shape)]
    }

    static let pad = OpSpec(
        "pad", .aten, "y = x with `before` and `after` elements of `value` added along `dim`",
        operands: [.one("x")],
        attributes: [
            .required("dim", .int), .size("before", 0), .size("after", 0), .optional("value", 0.0),
        ]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank, "C1") else { return nil }
        for name in ["before", "after"] {
            c.require(
                c.size(name).constant.map { $0 >= 0 } ?? true, "C2", "bad \(name) \(c.size(name))")
        }
        var shape = c[0].shape
        shape[axis] = shape[axis] + c.size("before") + c.size("after")
        return [TensorType(c[0].element, shape)]
    }

    static let cat = OpSpec(
        "cat", .any, "y = the operands one after the other along `dim`", operands: [.variadic("parts")],
        attributes: [.required("dim", .int)]
    ) { c in
        guard let axis = c.axis("dim", rank: c[0].rank, "C1") else { return nil }
        var shape = c[0].shape
        for index in 1..<c.operands.count {
            var expected = c[0].shape
            guard c[index].rank == expected.count else {
                c.fail("C2", "operands \(c[0]) and \(c[index]) differ in rank")
                return nil
            }
            expected[axis] = c[index].shape[axis]
            c.require(
                c[index] == TensorType(c[0].element, expected), "C3",
                "operands \(c[0]) and \(c[index]) differ in more than dimension \(axis)")
            shape[axis] = shape[axis] + c[index].shape[axis]
        }
        return [TensorType(c[0].element, shape)]
    }
}
