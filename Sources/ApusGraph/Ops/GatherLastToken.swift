extension OpSpec {
    static let gatherLastToken = OpSpec(
        "gather_last_token", .engine, "y[b, 0] = x[b, last[b]]; x [B, S, H], last i32[B], y [B, 1, H]",
        operands: [.one("x"), .one("last")]
    ) { c in
        guard c[0].rank == 3 else {
            c.fail("C1", "expected x of rank 3, got \(c[0])")
            return nil
        }
        c.require(
            c[1] == TensorType(.i32, [c[0].shape[0]]), "C2",
            "expected last i32[\(c[0].shape[0])], got \(c[1])")
        return [TensorType(c[0].element, [c[0].shape[0], 1, c[0].shape[2]])]
    }
}
