public import ApusGraph

/// Every input and output of an engine: the one list that compiler and runtime share.
///
/// Shapes: `B` sequences of a batch, `S` new tokens each (shorter sequences are padded on the right), `C` capacity
/// of the KV cache, `Hkv` KV heads, `D` head size, `V` vocabulary.
public enum Bindings {
    /// Element type of every integer input, also of those that are i64 in the graph: ids and positions fit.
    public static let integerElement = ElementType.i32

    /// int32 [B, S]: token ids; padding holds any id of the vocabulary.
    public static let inputIDs = "input_ids"
    /// int32 [B, S]: position of each token in its sequence; padding holds any valid position.
    public static let positionIDs = "position_ids"
    /// int32 [B]: in prefill and chunk the valid new tokens, in decode the KV length after the step.
    public static let contextLengths = "context_lengths"
    /// int32 [0] when nothing is cached (prefill), else [B]: tokens cached before the step.
    public static let kvCacheStartIndex = "kvcache_start_index"
    /// int32 [B]: index below S of the token whose logits are wanted.
    public static let lastTokenIDs = "last_token_ids"
    /// int32 scalar: rows of the static caches that hold earlier tokens, the same for all sequences of a pass.
    public static let startIndex = "start_idx"
    /// int32 scalar: rows that hold tokens after the pass, ``startIndex`` + S.
    public static let endIndex = "end_idx"
    /// f32 [B, 1, V]: the logits of that token.
    public static let logits = "logits"

    /// KV cache of one attention layer, [B, 2, Hkv, C, D]: 0 = K after RoPE, 1 = V; updated in place.
    public static func kvCache(_ layer: Int) -> String { "kv_cache_\(layer)" }

    /// Static cache of the keys of one attention, [B, Hkv, C, D]; its update is an output of the same place among
    /// the caches, the same memory where the update is in place.
    public static func keyCache(_ layer: Int) -> String { "k_cache_\(layer)" }
    /// Static cache of the values of one attention, like ``keyCache(_:)``.
    public static func valueCache(_ layer: Int) -> String { "v_cache_\(layer)" }

    /// The layer whose KV cache, of the plugin or static, has that name.
    public static func kvCacheLayer(_ name: String) -> Int? {
        isPluginCache(name) || isStaticCache(name)
            ? name.lastIndex(of: "_").flatMap { Int(name[name.index(after: $0)...]) } : nil
    }

    /// Whether an input of that name is a plugin's cache.
    static func isPluginCache(_ name: String) -> Bool { name.hasPrefix("kv_cache_") }
    /// Whether an input of that name is a static cache.
    static func isStaticCache(_ name: String) -> Bool {
        name.hasPrefix("k_cache_") || name.hasPrefix("v_cache_")
    }

    /// The shape of each input whose memory the runtime owns; caches are as large as a plan says.
    static let shapes: [String: [Dimension]] = [
        inputIDs: [.symbol(batchSymbol), .symbol(tokensSymbol)],
        positionIDs: [.symbol(batchSymbol), .symbol(tokensSymbol)],
        contextLengths: [.symbol(batchSymbol)], kvCacheStartIndex: [.symbol(startSymbol)],
        lastTokenIDs: [.symbol(batchSymbol)],
    ]

    /// Symbol of the batch size.
    public static let batchSymbol = "B"
    /// Symbol of the number of new tokens.
    public static let tokensSymbol = "S"
    /// Symbol of the KV cache's capacity.
    public static let capacitySymbol = "C"
    /// Symbol of the length of ``kvCacheStartIndex``.
    public static let startSymbol = "P"
}
