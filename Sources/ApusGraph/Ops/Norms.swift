extension OpSpec {
    static let rmsNorm = OpSpec(
        "rms_norm", .engine, "y = x/√(mean(x²) + eps)·weight over the last dimension; weight [H]",
        operands: [.one("x"), .one("weight")], attributes: [.required("eps", .float)]
    ) { c in
        NormRules.check(c, x: 0, weight: 1, bias: nil)
        return [c[0]]
    }

    static let layerNorm = OpSpec(
        "layer_norm", .any,
        "y = (x - mean(x))/√(var(x) + eps)·weight + bias over the last dimension; weight, bias [H]",
        operands: [.one("x"), .one("weight"), .optional("bias")], attributes: [.required("eps", .float)]
    ) { c in
        NormRules.check(c, x: 0, weight: 1, bias: 2)
        return [c[0]]
    }

    static let addRMSNorm = OpSpec(
        "add_rms_norm", .engine, "sum = x + delta; y = rms_norm(sum, weight)",
        operands: [.one("x"), .one("delta"), .one("weight")], attributes: [.required("eps", .float)]
    ) { c in
        NormRules.check(c, x: 0, weight: 2, bias: nil)
        c.require(c[0] == c[1], "C4", "expected x and delta of one type, got \(c[0]) and \(c[1])")
        return [c[0], c[0]]
    }

    static let addLayerNorm = OpSpec(
        "add_layer_norm", .engine, "sum = x + delta; y = layer_norm(sum, weight, bias)",
        operands: [.one("x"), .one("delta"), .one("weight"), .optional("bias")],
        attributes: [.required("eps", .float)]
    ) { c in
        NormRules.check(c, x: 0, weight: 2, bias: 3)
        c.require(c[0] == c[1], "C4", "expected x and delta of one type, got \(c[0]) and \(c[1])")
        return [c[0], c[0]]
    }
}

/// The constraints that all norms share.
private enum NormRules {
    static func check(_ c: OpChecker, x: Int, weight: Int, bias: Int?) {
        guard let width = c[x].shape.last, c[x].element.isFloat else {
            c.fail("C1", "expected a floating-point x of rank 1 or more, got \(c[x])")
            return
        }
        c.require(
            c[weight].shape == [width], "C2", "expected a weight of shape [\(width)], got \(c[weight])")
        if let bias, let type = c.optional(bias) {
            c.require(type.shape == [width], "C3", "expected a bias of shape [\(width)], got \(type)")
        }
    }
}
