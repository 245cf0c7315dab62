extension OpSpec {
    static let arange = OpSpec(
        "arange", .any, "y[i] = start + i, up to but without end", operands: [],
        attributes: [.size("start", 0), .size("end"), .required("element", .element)]
    ) { c in
        guard let element = c.element("element") else { return nil }
        let count = c.size("end") - c.size("start")
        c.require(
            count.constant.map { $0 >= 0 } ?? true, "C1", "bad range \(c.size("start"))..<\(c.size("end"))")
        c.require(element != .bool, "C2", "expected a number type, got \(element.rawValue)")
        return [TensorType(element, [count])]
    }

    static let full = OpSpec(
        "full", .any, "y = `value` everywhere", operands: [],
        attributes: [
            .required("shape", .dimensions), .required("value", .float), .required("element", .element),
        ]
    ) { c in
        c.element("element").map { [TensorType($0, c.dimensions("shape"))] }
    }

    static let size = OpSpec(
        "size", .any, "y = the value of a symbolic size, as an i64 scalar", operands: [],
        attributes: [.size("value")]
    ) { c in
        [TensorType(.i64, [Dimension]())]
    }

    static let causalMask = OpSpec(
        "causal_mask", .engine,
        "y[s, t] = 0 where key t is visible to query s, which stands at position offset + s, else −∞: "
            + "t ≤ offset + s, and t > offset + s − window if there is a window; f32 [queries, keys]",
        operands: [],
        attributes: [.size("queries"), .size("keys"), .size("offset", 0), .optional("window", 0)]
    ) { c in
        c.require(c.int("window") >= 0, "C1", "expected a window of at least 0, got \(c.int("window"))")
        return [TensorType(.f32, [c.size("queries"), c.size("keys")])]
    }
}
