import ApusGraph

/// Names of the inputs that a static cache adds: one list for the passes that add and look for them.
enum StaticCache {
    /// i64 scalar: rows of the caches that hold earlier tokens.
    static let start = "start_idx"
    /// i64 scalar: rows that hold tokens after the call, `start_idx` + S.
    static let end = "end_idx"

    /// Keys [B, Hkv, C, D] of one attention.
    static func keys(_ layer: Int) -> String { "k_cache_\(layer)" }
    /// Values [B, Hkv, C, D] of one attention.
    static func values(_ layer: Int) -> String { "v_cache_\(layer)" }

    /// The cache inputs of a graph in their order: k0, v0, k1, v1 and so on.
    static func inputs(of graph: Graph) -> [Value] {
        graph.inputs.filter { value in
            let name = graph.name(of: value) ?? ""
            return name.hasPrefix("k_cache_") || name.hasPrefix("v_cache_")
        }
    }
}
