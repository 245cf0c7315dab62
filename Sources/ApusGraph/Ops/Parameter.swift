extension OpSpec {
    static let parameter = OpSpec(
        "parameter", .any, "y = the weight that the checkpoint calls `name`", operands: [],
        attributes: [.required("name", .string)]
    ) { c in
        guard c.declared.count == 1 else {
            c.fail("C1", "expected one declared result type, got \(c.declared.count)")
            return nil
        }
        c.require(
            c.declared[0].constantShape != nil, "C2", "expected a constant shape, got \(c.declared[0])")
        return c.declared
    }

    static let constant = OpSpec(
        "constant", .any, "y = a small tensor written in the graph", operands: [],
        attributes: [.required("value", .literal)]
    ) { c in
        guard let literal = c.literal("value") else { return nil }
        let count = literal.type.constantShape == nil ? nil : literal.type.elementCount.constant
        c.require(count != nil, "C1", "expected a constant shape, got \(literal.type)")
        c.require(
            literal.values.count == 1 || literal.values.count == count, "C2",
            "expected 1 or \(count ?? 0) elements, got \(literal.values.count)")
        return [literal.type]
    }
}
