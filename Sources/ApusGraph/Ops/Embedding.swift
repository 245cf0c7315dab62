extension OpSpec {
    static let embedding = OpSpec(
        "embedding", .any,
        "y[…, :] = weight[indices[…], :], as f32 if `widen`; weight [V, H], indices […], y […, H]",
        operands: [.one("weight"), .one("indices")],
        attributes: [.optional("widen", false)]
    ) { c in
        c.require(c[0].rank == 2, "C1", "expected a weight of rank 2, got \(c[0])")
        c.require(c[1].element.isInteger, "C2", "expected integer indices, got \(c[1])")
        guard let width = c[0].shape.last else { return nil }
        return [TensorType(c.bool("widen") ? .f32 : c[0].element, c[1].shape + [width])]
    }
}
