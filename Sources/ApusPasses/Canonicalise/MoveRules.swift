import ApusGraph
import ApusSupport

/// Rules of ``foldIdentities`` about ops that only move elements; other passes that move elements use them too.
let moveRules = [
    // A rule whose result has another type than what it replaces is not applied.
    Rule(.op("cat", .capture("x"))) { m in m["x"] },
    Rule(.op("view", .capture("x"))) { m in m["x"] },
    Rule(.op("expand", .capture("x"))) { m in m["x"] },
    Rule(.op("to", .capture("x"))) { m in m["x"] },
    Rule(.op("slice", .capture("x"))) { m in m["x"] },
    Rule(.op("view", .oneOf([.op("view", .capture("x")), .op("unsqueeze", .capture("x"))]))) {
        m throws(ApusError) in
        try m.add("view", [m["x"]], ["shape": .dimensions(m.type(of: m.root).shape)])
    },
    Rule(.op("expand", .op("expand", .capture("x")))) { m throws(ApusError) in
        try m.add("expand", [m["x"]], ["shape": .dimensions(m.type(of: m.root).shape)])
    },
    Rule(.oneOf([.op("transpose", .capture("x")), .op("permute", .capture("x"))])) { m throws(ApusError) in
        try reordered(m)
    },
    Rule(.op("slice", .op("slice", .capture("x")).captured(as: "inner"))) { m throws(ApusError) in
        guard let outer = m.producer(of: m.root, "slice")?.slice,
            let inner = m.producer(of: m["inner"], "slice")?.slice, outer.axis == inner.axis
        else { return nil }
        let start = inner.range.lowerBound + outer.range.lowerBound
        return try m.add(
            "slice", [m["x"]],
            ["dim": .int(outer.axis), "start": .int(start), "end": .int(start + outer.range.count)])
    },
    Rule(.op("slice", .op("pad", .capture("x")).captured(as: "padded"))) { m throws(ApusError) in
        guard let slice = m.producer(of: m.root, "slice"), let pad = m.producer(of: m["padded"], "pad"),
            let axis = slice.axis("dim"), axis == pad.axis("dim"), let start = slice.size("start"),
            let before = pad.size("before")
        else { return nil }
        let first = start - before
        let end = first + m.type(of: m.root).shape[axis]
        guard let skipped = first.constant, skipped >= 0,
            let left = (m.type(of: m["x"]).shape[axis] - end).constant, left >= 0
        else { return nil }
        return try m.add(
            "slice", [m["x"]], ["dim": .int(axis), "start": .size(first), "end": .size(end)])
    },
]

/// The order of dimensions that a transpose or permute gives, together with one before it, in its simplest form.
private func reordered(_ m: Match) throws(ApusError) -> Value? {
    guard let outer = m.order(of: m.root) else { return nil }
    var (source, order) = (m["x"], outer)
    if let inner = m.order(of: m["x"]), let before = m.operand(of: m["x"]) {
        (source, order) = (before, outer.map { inner[$0] })
    } else if m.producer(of: m.root, "transpose") != nil, order != Array(order.indices) {
        return nil
    }
    let moved = order.indices.filter { order[$0] != $0 }
    if moved.isEmpty { return source }
    if moved.count == 2 {
        return try m.add("transpose", [source], ["dim0": .int(moved[0]), "dim1": .int(moved[1])])
    }
    guard source != m["x"] else { return nil }
    return try m.add("permute", [source], ["dims": .dimensions(order.map { Dimension($0) })])
}

extension Match {
    /// For a transpose or permute, the dimension of the operand that each dimension of the result is.
    fileprivate func order(of value: Value) -> [Int]? {
        if let node = producer(of: value, "permute") {
            let order = node.dimensions("dims")?.compactMap(\.constant)
            return order?.count == node.type.rank ? order : nil
        }
        guard let node = producer(of: value, "transpose"), let a = node.axis("dim0"),
            let b = node.axis("dim1")
        else { return nil }
        var order = Array(0..<node.type.rank)
        order.swapAt(a, b)
        return order
    }

    /// The operand of a transpose or permute.
    fileprivate func operand(of value: Value) -> Value? {
        (producer(of: value, "permute") ?? producer(of: value, "transpose"))?.operand(0)
    }
}
