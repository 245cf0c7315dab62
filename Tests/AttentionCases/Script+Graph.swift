package import ApusGraph
package import ApusSupport

extension Script {
    /// The cache's shape, [B, 2, Hkv, capacity, D].
    package var cacheShape: [Int] { [c.batch, 2, c.kv, capacity, c.dim] }

    /// The op's operands at the largest sizes that calls give them; nil for one that is absent.
    /// - Parameter cache: The type of the cache.
    package func operandTypes(_ cache: ElementType) -> [TensorType?] {
        let width = calls.map { $0.packed.shape[1] }.max() ?? 1
        var types: [TensorType?] = [
            TensorType(.f32, [c.batch, width, c.width]), TensorType(cache, cacheShape),
            TensorType(.i32, [c.batch]), TensorType(.f32, table.shape), TensorType(.i32, [c.batch]),
        ]
        types += Array(repeating: c.hasNorm ? TensorType(.f32, [c.dim]) : nil, count: 2)
        if c.isTree {
            types += [
                TensorType(.i32, [c.batch, width, (width + 31) / 32]), TensorType(.i32, [c.batch, width]),
            ]
        }
        return types
    }

    /// The op's attributes.
    package var attributes: [String: Attribute] {
        [
            "num_q_heads": .int(c.q), "num_kv_heads": .int(c.kv), "head_size": .int(c.dim),
            "attention_scale": .float(c.scoreScale), "sliding_window_size": .int(c.window),
            "softcap": .float(c.softcap), "qk_norm_eps": .float(c.hasNorm ? PlainAttention.normEps : 0),
            "enable_tree_attention": .bool(c.isTree),
        ]
    }

    /// What an operand is called in ``graph(_:)``.
    package static func inputName(_ operand: Int) -> String { "operand\(operand)" }

    /// The op as a graph of constant shapes, whose inputs are the operands and whose outputs the results: the
    /// attention, and the updated cache.
    /// - Parameter types: The operands of a call; nil for one that is absent.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    package func graph(_ types: [TensorType?]) throws(ApusError) -> Graph {
        let inputs = types.enumerated().compactMap { index, type in
            type.map { "%\(Self.inputName(index)): \($0)" }
        }
        let operands = types.enumerated().map { index, type in
            type == nil ? "none" : "%\(Self.inputName(index))"
        }
        guard let packed = types[0], let cache = types[1] else {
            throw ApusError(.mismatch, "expected packed_qkv and kv_cache, got \(operands)")
        }
        let output = TensorType(
            packed.element, Array(packed.shape.prefix(2)) + [Dimension(c.q), Dimension(c.dim)])
        let graph = try Graph(
            parsing: """
                graph @f(\(inputs.joined(separator: ", "))) {
                  %y, %cache = attention_plugin(\(operands.joined(separator: ", "))) {num_q_heads = \(c.q), \
                num_kv_heads = \(c.kv), head_size = \(c.dim), attention_scale = \(c.scoreScale), \
                sliding_window_size = \(c.window), softcap = \(c.softcap), \
                qk_norm_eps = \(c.hasNorm ? PlainAttention.normEps : 0), \
                enable_tree_attention = \(c.isTree)} : \(output), \(cache)
                  return %y, %cache
                }
                """)
        try graph.verify()
        return graph
    }
}
