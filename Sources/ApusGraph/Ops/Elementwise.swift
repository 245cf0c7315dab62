extension OpSpec {
    /// Applies a function of one number to each element.
    private static func unary(_ name: String, _ formula: String) -> OpSpec {
        OpSpec(name, .any, formula, operands: [.one("x")]) { c in
            c.require(c[0].element.isFloat, "C1", "expected a floating-point operand, got \(c[0])")
            return [c[0]]
        }
    }

    /// Applies a function of two numbers to each pair of elements, shapes broadcast from the right.
    private static func binary(_ name: String, _ formula: String) -> OpSpec {
        OpSpec(name, .any, formula, operands: [.one("a"), .one("b")]) { c in
            c.require(
                c[0].element == c[1].element, "C1",
                "expected operands of one element type, got \(c[0]) and \(c[1])")
            guard let shape = Shapes.broadcast(c[0].shape, c[1].shape) else {
                c.fail("C2", "shapes \(c[0]) and \(c[1]) do not broadcast")
                return nil
            }
            return [TensorType(c[0].element, shape)]
        }
    }

    static let unaries: [OpSpec] = [
        unary("neg", "y = -x"), unary("exp", "y = e^x"), unary("log", "y = ln x"),
        unary("sqrt", "y = √x"), unary("rsqrt", "y = 1/√x"), unary("sin", "y = sin x"),
        unary("cos", "y = cos x"), unary("tanh", "y = tanh x"), unary("sigmoid", "y = 1/(1 + e^-x)"),
        unary("silu", "y = x·sigmoid(x)"), unary("relu", "y = max(x, 0)"), unary("erf", "y = erf x"),
    ]

    static let binaries: [OpSpec] = [
        binary("add", "y = a + b"), binary("sub", "y = a - b"), binary("mul", "y = a·b"),
        binary("div", "y = a/b"), binary("minimum", "y = min(a, b)"), binary("maximum", "y = max(a, b)"),
        binary("floor_divide", "y = ⌊a/b⌋"), binary("remainder", "y = a - b·⌊a/b⌋"),
    ]

    static let pow = OpSpec(
        "pow", .any, "y = x^exponent", operands: [.one("x")], attributes: [.required("exponent", .float)]
    ) { c in
        c.require(c[0].element.isFloat, "C1", "expected a floating-point operand, got \(c[0])")
        return [c[0]]
    }

    static let to = OpSpec(
        "to", .any, "y = x converted to another element type", operands: [.one("x")],
        attributes: [.required("element", .element)]
    ) { c in
        c.element("element").map { [TensorType($0, c[0].shape)] }
    }
}
