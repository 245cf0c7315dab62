/// Products of activations, fused attention and cache updates.
extension GraphCase {
    /// q·kᵀ and p·v over heads and groups, straight from a cache.
    package static func product(_ name: String, _ cache: String, width: Int, start: Int) -> GraphCase {
        GraphCase(
            name,
            "%start: i64[1], %q: f32[B, S, 6, 20], %k: \(cache)[B, 2, C, 20], %v: \(cache)[B, 2, C, 20]",
            """
            %q0 = view(%q) {shape = [B, S, 2, 3, 20]} : f32[B, S, 2, 3, 20]
              %q1 = permute(%q0) {dims = [0, 2, 3, 1, 4]} : f32[B, 2, 3, S, 20]
              %k0 = slice(%k) {dim = 2, start = 0, end = P + S} : \(cache)[B, 2, P + S, 20]
              %k1 = to(%k0) {element = f32} : f32[B, 2, P + S, 20]
              %k2 = unsqueeze(%k1) {dim = 2} : f32[B, 2, 1, P + S, 20]
              %k3 = transpose(%k2) {dim0 = 3, dim1 = 4} : f32[B, 2, 1, 20, P + S]
              %s = matmul(%q1, %k3) : f32[B, 2, 3, S, P + S]
              %m = causal_mask() {queries = S, keys = P + S, offset = P} : f32[S, P + S]
              %t = add(%s, %m) : f32[B, 2, 3, S, P + S]
              %p = softmax(%t) : f32[B, 2, 3, S, P + S]
              %v0 = slice(%v) {dim = 2, start = 0, end = P + S} : \(cache)[B, 2, P + S, 20]
              %v1 = to(%v0) {element = f32} : f32[B, 2, P + S, 20]
              %v2 = unsqueeze(%v1) {dim = 2} : f32[B, 2, 1, P + S, 20]
              %o = matmul(%p, %v2) : f32[B, 2, 3, S, 20]
              %o1 = permute(%o) {dims = [0, 3, 1, 2, 4]} : f32[B, S, 2, 3, 20]
              %y = view(%o1) {shape = [B, S, 120]} : f32[B, S, 120]
            """, width: width, values: ["start": [start]])
    }

    /// Products of activations.
    package static let products: [GraphCase] = [
        GraphCase("a·b", "%a: f32[B, S, 13], %b: f32[B, 13, 67]", "%y = matmul(%a, %b) : f32[B, S, 67]"),
        GraphCase(
            "a·b of many rows", "%a: f32[B, S, 270], %b: f32[B, 270, 70]",
            "%y = matmul(%a, %b) : f32[B, S, 70]",
            width: 31),
        GraphCase(
            "a·bᵀ", "%a: f32[B, S, 33], %b: f32[45, 33]",
            """
            %0 = transpose(%b) {dim0 = 0, dim1 = 1} : f32[33, 45]
              %y = matmul(%a, %0) : f32[B, S, 45]
            """, width: 29),
        GraphCase(
            "both strided", "%a: f32[B, 9, S], %b: f32[9, B, 2]",
            """
            %0 = transpose(%a) {dim0 = 1, dim1 = 2} : f32[B, S, 9]
              %1 = permute(%b) {dims = [1, 0, 2]} : f32[B, 9, 2]
              %y = matmul(%0, %1) : f32[B, S, 2]
            """),
        GraphCase(
            "a column", "%a: f32[S, 9], %b: f32[9, 1]", "%y = matmul(%a, %b) : f32[S, 1]", width: 17),
        GraphCase(
            "of depth 1", "%a: f32[S, 1], %b: f32[1, 40]", "%y = matmul(%a, %b) : f32[S, 40]", width: 17),
        GraphCase(
            "of depth 0", "%a: f32[3, S], %b: f32[S, 40]", "%y = matmul(%a, %b) : f32[3, 40]", width: 0),
        GraphCase(
            "of no rows", "%a: f32[S, 4], %b: f32[4, 40]", "%y = matmul(%a, %b) : f32[S, 40]", width: 0),
        GraphCase(
            "batches that broadcast", "%a: f32[B, 1, S, 4], %b: f32[3, 4, 5]",
            "%y = matmul(%a, %b) : f32[B, 3, S, 5]"),
        product("scores of a prompt", "f32", width: 37, start: 0),
        product("scores of a chunk from f16", "f16", width: 12, start: 130),
        product("scores of one token from bf16", "bf16", width: 1, start: 300),
    ]

    /// The attention op over a cache.
    package static func attention(
        _ name: String, _ attributes: String, cache: String = "f32", mask: String = "", width: Int, start: Int
    ) -> GraphCase {
        let operand = mask.isEmpty ? "none" : "%m"
        return GraphCase(
            name,
            "%start: i64[1], %q: f32[B, S, 6, 24], %k: \(cache)[B, 2, 2, C, 24]"
                + (mask.isEmpty ? "" : ", %m: \(mask)"),
            """
            %q0 = transpose(%q) {dim0 = 1, dim1 = 2} : f32[B, 6, S, 24]
              %k0 = slice(%k) {dim = 3, start = 0, end = P + S} : \(cache)[B, 2, 2, P + S, 24]
              %k1 = slice(%k0) {dim = 1, start = 0, end = 1} : \(cache)[B, 1, 2, P + S, 24]
              %k2 = view(%k1) {shape = [B, 2, P + S, 24]} : \(cache)[B, 2, P + S, 24]
              %v1 = slice(%k0) {dim = 1, start = 1, end = 2} : \(cache)[B, 1, 2, P + S, 24]
              %v2 = view(%v1) {shape = [B, 2, P + S, 24]} : \(cache)[B, 2, P + S, 24]
              %k3 = to(%k2) {element = f32} : f32[B, 2, P + S, 24]
              %v3 = to(%v2) {element = f32} : f32[B, 2, P + S, 24]
              %o = attention(%q0, %k3, %v3, \(operand)) {scale = 0.3, enable_gqa = true\(attributes)} : f32[B, 6, S, 24]
              %o1 = transpose(%o) {dim0 = 1, dim1 = 2} : f32[B, S, 6, 24]
              %y = view(%o1) {shape = [B, S, 144]} : f32[B, S, 144]
            """, width: width, values: ["start": [start]])
    }

    /// Fused attention.
    package static let attention: [GraphCase] = [
        attention("causal prompt", ", is_causal = true", width: 45, start: 0),
        attention("causal chunk", ", is_causal = true", cache: "f16", width: 9, start: 77),
        attention("one token", ", is_causal = true", cache: "bf16", width: 1, start: 599),
        attention("window", ", is_causal = true, sliding_window = 7", width: 20, start: 30),
        attention("one token in a window", ", is_causal = true, sliding_window = 300", width: 1, start: 590),
        attention("softcap", ", is_causal = true, softcap = 0.7", width: 11, start: 4),
        attention("everything is visible", "", width: 11, start: 20),
        attention("float mask", "", mask: "f32[B, 1, S, P + S]", width: 11, start: 20),
        attention("mask of each head", "", mask: "f32[6, S, P + S]", width: 3, start: 300),
        attention("boolean mask", "", mask: "bool[S, P + S]", width: 11, start: 60),
        attention("mask for one token", "", mask: "bool[B, 1, 1, P + S]", width: 1, start: 400),
        attention("mask that all keys share", "", mask: "f32[B, 1, S, 1]", width: 11, start: 60),
    ]

    /// Updates of caches.
    package static let caches: [GraphCase] = [
        GraphCase(
            "kv_update", "%start: i64[1], %k: f16[B, 2, C, 8], %x: f32[B, S, 2, 8]",
            """
            %0 = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, 2, S, 8]
              %1 = kv_update(%k, %0) {start = P} : f16[B, 2, C, 8]
              %2 = slice(%1) {dim = 2, start = 0, end = P + S} : f16[B, 2, P + S, 8]
              %y = to(%2) {element = f32} : f32[B, 2, P + S, 8]
            """, returns: "%y, %1", values: ["start": [12]]),
        GraphCase(
            "kv_update of a cache that is still read",
            "%start: i64[1], %k: f32[B, 2, C, 8], %x: f32[B, 2, S, 8]",
            """
            %0 = slice(%k) {dim = 2, start = P, end = P + S} : f32[B, 2, S, 8]
              %1 = kv_update(%k, %x) {start = P} : f32[B, 2, C, 8]
              %2 = kv_update(%1, %x) {start = 0} : f32[B, 2, C, 8]
              %3 = slice(%1) {dim = 2, start = P, end = P + S} : f32[B, 2, S, 8]
              %y = sub(%3, %0) : f32[B, 2, S, 8]
            """, returns: "%y, %2", values: ["start": [12]]),
        GraphCase(
            "concat around new rows", "%start: i64[1], %k: f32[B, 2, C, 8], %x: f32[B, 2, S, 8]",
            """
            %0 = slice(%k) {dim = 2, start = 0, end = P} : f32[B, 2, P, 8]
              %1 = slice(%k) {dim = 2, start = P + S, end = C} : f32[B, 2, C - P - S, 8]
              %y = cat(%0, %x, %1) {dim = 2} : f32[B, 2, C, 8]
            """, values: ["start": [12]]),
    ]
}
