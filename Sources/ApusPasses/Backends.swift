public import ApusSupport

/// What computes a model: what its attention becomes.
public enum BackendKind: String, Sendable, Hashable, CaseIterable {
    /// The reference interpreter: FP32, one op at a time, no pass. Slow; the truth to compare with.
    case reference
    /// Attention as matmul, generated mask, softmax, matmul.
    case sdpa
    /// One fused attention layer, which takes causal, window or a mask tensor.
    case iattention
    /// The AttentionPlugin: RoPE, KV write and attention in one op.
    case plugin
}

/// Where the keys and values of earlier tokens are kept.
public enum CacheKind: String, Sendable, Hashable, CaseIterable {
    /// Nowhere: every token computes the whole sequence again.
    case none
    /// Tensors of a fixed capacity, given in and out; attention reads the updated cache.
    case staticV1 = "static_v1"
    /// The same with fewer slices: attention reads the rows before, joined with the new ones.
    case staticV2 = "static_v2"
    /// The plugin's own, updated in place.
    case inPlace = "in_place"

    /// Whether it is one of the static caches.
    public var isStatic: Bool { self == .staticV1 || self == .staticV2 }
}

extension BackendKind {
    /// The caches that the backend goes with; the first is taken when nobody chooses.
    public var caches: [CacheKind] {
        switch self {
        case .reference: [.none]
        case .sdpa, .iattention: [.none, .staticV1, .staticV2]
        case .plugin: [.inPlace]
        }
    }

    /// The cache to use: the one asked for, or the backend's first.
    /// - Throws: `.invalidInput` for a pair that does not go together, naming those that do.
    public func cache(_ wanted: CacheKind?) throws(ApusError) -> CacheKind {
        guard let wanted else { return caches[0] }
        guard caches.contains(wanted) else {
            let allowed = Self.allCases.map { kind in
                "\(kind.rawValue) with \(kind.caches.map(\.rawValue).joined(separator: ", "))"
            }
            throw ApusError(
                .invalidInput,
                "backend \(rawValue) does not go with cache \(wanted.rawValue); there are "
                    + allowed.joined(separator: "; "))
        }
        return wanted
    }
}
