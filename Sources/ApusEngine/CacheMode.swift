import ApusGraph

/// How a runtime keeps keys and values for a plan.
public enum CacheMode: String, Sendable, Hashable, CaseIterable {
    /// Not at all: whole sequences are computed.
    case recompute
    /// In tensors given in and out, at rows that `start_idx` and `end_idx` name.
    case staticCache = "static"
    /// In the plugin's caches, at places of each sequence's own.
    case plugin
}

extension Plan {
    /// A cache that is given in, and its update that comes out.
    public struct StaticCache: Sendable, Hashable {
        /// Name of the input.
        public let name: String
        /// The tensor given in.
        public let input: Int
        /// The tensor that comes out.
        public let output: Int
        /// Whether the update is in the memory of the input.
        public let isInPlace: Bool
    }

    /// How the plan's keys and values are kept, told from its inputs.
    public var cacheMode: CacheMode {
        let names = tensors.compactMap { tensor -> String? in
            if case .input(let name) = tensor.storage { name } else { nil }
        }
        if names.contains(where: Bindings.isPluginCache) { return .plugin }
        return names.contains(where: Bindings.isStaticCache) ? .staticCache : .recompute
    }

    /// The static caches in the order of the inputs; the outputs behind the logits update them in the same order.
    public var staticCaches: [StaticCache] {
        let inputs = tensors.enumerated().compactMap { index, tensor -> (name: String, tensor: Int)? in
            guard case .input(let name) = tensor.storage, Bindings.isStaticCache(name) else { return nil }
            return (name, index)
        }
        return zip(inputs, outputs.dropFirst()).map { input, output in
            StaticCache(
                name: input.name, input: input.tensor, output: output.tensor,
                isInPlace: root(of: output.tensor) == input.tensor)
        }
    }

    /// Whether a pass gives the logits of all its tokens, [B, S, V], and not of the last of each sequence, [B, 1, V].
    public var hasAllLogits: Bool {
        guard let output = outputs.first, tensors[output.tensor].type.rank == 3 else { return false }
        return tensors[output.tensor].type.shape[1].constant == nil
    }

    /// Whether one pass may run several sequences: whether the batch of the token ids is a symbol.
    public var hasSymbolicBatch: Bool {
        tensors.contains { tensor in
            tensor.storage == .input(Bindings.inputIDs) && tensor.type.shape.first?.constant == nil
        }
    }
}
