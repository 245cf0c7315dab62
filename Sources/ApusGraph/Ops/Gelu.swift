extension OpSpec {
    static let gelu = OpSpec(
        "gelu", .any,
        "y = x·Φ(x); approximate \"tanh\": y = x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))",
        operands: [.one("x")], attributes: [.optional("approximate", "none")]
    ) { c in
        let form = c.string("approximate")
        c.require(
            form == "none" || form == "tanh", "C1",
            "attribute 'approximate': expected \"none\" or \"tanh\", got \"\(form)\"")
        c.require(c[0].element.isFloat, "C2", "expected a floating-point operand, got \(c[0])")
        return [c[0]]
    }
}
