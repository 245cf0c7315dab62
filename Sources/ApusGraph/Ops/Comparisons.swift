extension OpSpec {
    /// Compares each pair of elements, shapes broadcast from the right.
    private static func comparison(_ name: String, _ formula: String) -> OpSpec {
        OpSpec(name, .any, formula, operands: [.one("a"), .one("b")]) { c in
            c.require(
                c[0].element == c[1].element, "C1",
                "expected operands of one element type, got \(c[0]) and \(c[1])")
            guard let shape = Shapes.broadcast(c[0].shape, c[1].shape) else {
                c.fail("C2", "shapes \(c[0]) and \(c[1]) do not broadcast")
                return nil
            }
            return [TensorType(.bool, shape)]
        }
    }

    /// Combines each pair of booleans, shapes broadcast from the right.
    private static func connective(_ name: String, _ formula: String) -> OpSpec {
        OpSpec(name, .any, formula, operands: [.one("a"), .one("b")]) { c in
            c.require(
                c[0].element == .bool && c[1].element == .bool, "C1",
                "expected boolean operands, got \(c[0]) and \(c[1])")
            guard let shape = Shapes.broadcast(c[0].shape, c[1].shape) else {
                c.fail("C2", "shapes \(c[0]) and \(c[1]) do not broadcast")
                return nil
            }
            return [TensorType(.bool, shape)]
        }
    }

    static let comparisons: [OpSpec] = [
        comparison("eq", "y = a = b"), comparison("ne", "y = a ≠ b"), comparison("lt", "y = a < b"),
        comparison("le", "y = a ≤ b"), comparison("gt", "y = a > b"), comparison("ge", "y = a ≥ b"),
    ]

    static let connectives: [OpSpec] = [
        connective("logical_and", "y = a ∧ b"), connective("logical_or", "y = a ∨ b"),
        connective("logical_xor", "y = a ⊻ b"),
    ]

    static let logicalNot = OpSpec("logical_not", .any, "y = ¬x", operands: [.one("x")]) { c in
        c.require(c[0].element == .bool, "C1", "expected a boolean operand, got \(c[0])")
        return [c[0]]
    }

    static let `where` = OpSpec(
        "where", .any, "y = a where condition, else b; shapes broadcast from the right",
        operands: [.one("condition"), .one("a"), .one("b")]
    ) { c in
        c.require(c[0].element == .bool, "C1", "expected a boolean condition, got \(c[0])")
        c.require(
            c[1].element == c[2].element, "C2",
            "expected a and b of one element type, got \(c[1]) and \(c[2])")
        guard let inner = Shapes.broadcast(c[1].shape, c[2].shape),
            let shape = Shapes.broadcast(c[0].shape, inner)
        else {
            c.fail("C3", "shapes \(c[0]), \(c[1]) and \(c[2]) do not broadcast")
            return nil
        }
        return [TensorType(c[1].element, shape)]
    }
}
