import ApusGraph

/// Ops that only plans have: what brings an operand into the form that a kernel reads.
enum PlanOps {
    private static let specs: [OpSpec] = [
        OpSpec("copy", .engine, "y = x, dense", operands: [.one("x")]) { c in [c[0]] },
        OpSpec(
            "mask_bias", .engine, "y = 0 where x is true, else −∞; f32", operands: [.one("x")]
        ) { c in
            c.require(c[0].element == .bool, "C1", "expected a boolean mask, got \(c[0])")
            return [TensorType(.f32, c[0].shape)]
        },
    ]

    /// The spec of such an op.
    static func spec(_ op: String) -> OpSpec? { specs.first { $0.name == op } }
}
