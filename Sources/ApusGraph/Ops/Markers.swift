extension OpSpec {
    /// Ops that compute nothing: exporters leave them where autograd or memory layouts mattered.
    static let markers: [OpSpec] = ["detach", "clone"].map { name in
        OpSpec(name, .aten, "y = x", operands: [.one("x")]) { c in [c[0]] }
    }

    static let assertElement = OpSpec(
        "assert_element", .aten, "y = x, whose element type the exporter asserted", operands: [.one("x")],
        attributes: [.required("element", .element)]
    ) { c in
        c.require(
            c[0].element == c.element("element"), "C1",
            "expected \(c.element("element")?.rawValue ?? "an element type"), got \(c[0])")
        return [c[0]]
    }
}
