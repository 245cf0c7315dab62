import ApusGraph
import ApusSupport

/// Writes every attention as one op, whatever the model's code or an exporter made of it.
///
///     view(matmul(%a, %b), [B, H, M, N])              →     matmul(view(%a), view(%b))
///     where(no key is visible, 0, softmax(%s))        →     softmax(%s)
///     %s = matmul(%q, transpose(%k))·scale + %mask ; matmul(softmax(%s), %v)
///                                                     →     scaled_dot_product_attention(%q, %k, %v, %mask) {scale}
///     … with %s = c·tanh(%s / c) before the mask      →     … {scale, softcap = c}
///     sdpa(%q, repeat(%k), repeat(%v))                →     sdpa(%q, %k, %v) {enable_gqa = true}
///     sdpa(…, expand(%mask))                          →     sdpa(…, %mask)
///     sdpa(…, where(%visible, 0, −∞))                 →     sdpa(…, %visible)
///
/// The form is found by its structure alone: a product of queries and keys, a softmax over the keys, a product with
/// values. The scale may stand on the scores, as a factor or divisor, or on queries and keys. A mask is added, or
/// replaces scores by a number that leaves nothing of them (−65504 or lower).
let normalizeSDPA = RewritePass(
    "normalize-sdpa", [unbatch, unguard, recompose, unrepeat, unexpandMask, booleanMask] + moveRules)

/// Products of attention have a batch and a head dimension; exporters flatten them for `bmm`.
private let unbatch = Rule(
    .op("view", .op("matmul", .capture("a"), .capture("b")).once.captured(as: "product"))
) { m throws(ApusError) in
    let shape = m.type(of: m.root).shape
    let product = m.type(of: m["product"]).shape
    guard shape.count == 4, product.count == 3, Array(shape.suffix(2)) == Array(product.suffix(2)) else {
        return nil
    }
    var operands: [Value] = []
    for operand in [m["a"], m["b"]] {
        let own = m.type(of: operand).shape
        guard own.count == 3, own[0] == product[0] else { return nil }
        operands.append(
            try m.add("view", [operand], ["shape": .dimensions([shape[0], shape[1], own[1], own[2]])]))
    }
    return try m.add("matmul", operands)
}

/// A softmax gives 0 where no key is visible; PyTorch's gives NaN, which its decomposition then replaces.
private let unguard = Rule(
    .op(
        "where",
        .op(
            "logical_not",
            .op(
                "any",
                .op("logical_not", .op("eq", .capture("scores"), .splat(-.infinity, tolerance: 0))),
                where: { $0.isLast("dim") && $0.bool("keepdim") })),
        .splat(0, tolerance: 0),
        .op("softmax", .capture("scores"), where: { $0.isLast("dim") }).captured(as: "softmax"))
) { m in m["softmax"] }

private let recompose = Rule(
    .op(
        "matmul", .op("softmax", .capture("scores"), where: { $0.isLast("dim") }), .capture("v"))
) { m throws(ApusError) in
    guard let scores = try AttentionScores(m["scores"], m) else { return nil }
    let key = try m.add("transpose", [scores.key], ["dim0": 2, "dim1": 3])
    guard m.type(of: m["v"]) == m.type(of: key) else { return nil }
    var attributes: [String: Attribute] = ["scale": .float(scores.scale)]
    if scores.softcap > 0 { attributes["softcap"] = .float(scores.softcap) }
    let operands = [scores.query, key, m["v"]] + (scores.mask.map { [$0] } ?? [])
    return try m.add("scaled_dot_product_attention", operands, attributes)
}

/// Keys and values that are repeated for the queries of a group need not be.
private let unrepeat = Rule(attention(.any)) { m throws(ApusError) in
    guard let node = m.producer(of: m.root, "scaled_dot_product_attention"),
        let key = m.repeated(m["k"]), let value = m.repeated(m["v"]), m.type(of: key) == m.type(of: value)
    else { return nil }
    var attributes = node.node.attributes
    attributes["enable_gqa"] = true
    return try m.add(node.node.op, [m["q"], key, value] + node.operands.dropFirst(3), attributes)
}

/// A mask is broadcast over batch and heads anyway.
private let unexpandMask = Rule(attention(.op("expand", .capture("mask")))) { m throws(ApusError) in
    try m.withMask(m["mask"])
}

private let booleanMask = Rule(
    attention(
        .op(
            "where", .capture("visible"), .splat(0, tolerance: 0), .splat(-.infinity, tolerance: 0)))
) { m throws(ApusError) in
    try m.withMask(m["visible"])
}

private func attention(_ mask: Pattern) -> Pattern {
    let operands: [Pattern] = [.capture("q"), .capture("k"), .capture("v")]
    let form = { (mask: Pattern) in
        Pattern.op("scaled_dot_product_attention", operands[0], operands[1], operands[2], mask)
    }
    if case .any = mask { return .oneOf([form(.absent), form(.any)]) }
    return form(mask)
}

extension Match {
    /// The matched attention with another mask.
    fileprivate func withMask(_ mask: Value) throws(ApusError) -> Value? {
        guard let node = producer(of: root, "scaled_dot_product_attention") else { return nil }
        return try add(node.node.op, [self["q"], self["k"], self["v"], mask], node.node.attributes)
    }

    /// The keys or values [B, Hkv, T, D] that `value` [B, Hkv·n, T, D] has n times each, one after the other.
    fileprivate func repeated(_ value: Value) -> Value? {
        let shape = type(of: value).shape
        guard shape.count == 4 else { return nil }
        // One head for all may be expanded as it is.
        if let expand = producer(of: value, "expand"), let x = expand.operand(0),
            type(of: x).shape == [shape[0], 1, shape[2], shape[3]]
        {
            return x
        }
        guard let view = producer(of: value, "view"), let groups = view.operand(0),
            let expand = producer(of: groups, "expand"), let single = expand.operand(0),
            let insert = producer(of: single, "unsqueeze") ?? producer(of: single, "view"),
            let x = insert.operand(0)
        else { return nil }
        let (own, wide) = (type(of: x).shape, expand.type.shape)
        guard own.count == 4, wide.count == 5, type(of: single).shape == [own[0], own[1], 1, own[2], own[3]],
            [wide[0], wide[1], wide[3], wide[4]] == own,
            shape == [own[0], own[1] * wide[2], own[2], own[3]]
        else { return nil }
        return x
    }
}
