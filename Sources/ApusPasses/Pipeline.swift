public import ApusGraph

/// What a user decides about the lowering of a graph.
public struct PipelineOptions: Sendable, Hashable {
    /// Element type that large weights are stored in.
    public var precision: ElementType
    /// Element type of the KV caches; `i8` with the attention plugin only.
    public var kvCache: ElementType
    /// Whether only the last token's logits are computed.
    public var lastTokenOnly: Bool
    /// What attention becomes.
    public var backend: BackendKind
    /// Where keys and values are kept; one of those the backend goes with.
    public var cache: CacheKind
    /// Whether static caches are updated in place where that is proven to be right.
    public var aliasKVCache: Bool
    /// Whether products with quantised weights keep their inputs in FP32, rather than round them to 8 bits.
    public var exactActivations: Bool

    /// Makes options; without a cache, the backend's first.
    public init(
        precision: ElementType = .f32, kvCache: ElementType = .f32, lastTokenOnly: Bool = true,
        backend: BackendKind = .plugin, cache: CacheKind? = nil, aliasKVCache: Bool = true,
        exactActivations: Bool = false
    ) {
        self.precision = precision
        self.kvCache = kvCache
        self.lastTokenOnly = lastTokenOnly
        self.backend = backend
        self.cache = cache ?? backend.caches[0]
        self.aliasKVCache = aliasKVCache
        self.exactActivations = exactActivations
    }
}

/// The passes from an imported graph to one that kernels can run, in order, each with the reason for its place.
public enum Pipeline {
    /// The stages of the lowering.
    public enum Phase: String, Sendable, CaseIterable {
        /// One way of writing for what models write in several.
        case canonicalise
        /// Few large ops in place of many small ones.
        case fuse
        /// Attention with a KV cache, logits of the last token.
        case cache
        /// Storage types of the weights.
        case quantise
        /// What the earlier phases left behind is removed.
        case finalise
    }

    /// One pass of the pipeline.
    public struct Step: Sendable {
        /// The stage it belongs to.
        public let phase: Phase
        /// The pass.
        public let pass: any Pass
        /// Why it stands here.
        public let reason: String

        init(_ phase: Phase, _ pass: any Pass, _ reason: String) {
            self.phase = phase
            self.pass = pass
            self.reason = reason
        }
    }

    /// The steps for the backend and cache of the options; none for the reference backend, which runs a graph as it
    /// was imported.
    public static func steps(_ options: PipelineOptions = PipelineOptions()) -> [Step] {
        guard options.backend != .reference else { return [] }
        return lowering + attention(options) + finishing(options)
    }

    /// The passes that bring an imported graph into one form, without fusing anything: a cache of the exporter's is
    /// gone, and positions are an input.
    public static let canonical: [any Pass] = lowering.filter { $0.phase == .canonicalise }.map(\.pass)

    /// What every backend starts with.
    private static let lowering = [
        Step(.canonicalise, removeDetach, "nothing that follows looks through steps that do nothing"),
        Step(.canonicalise, removeAsserts, "the same; the verifier has checked what they assert"),
        Step(.canonicalise, WidenActivations(), "patterns meet no conversions between precisions"),
        Step(.canonicalise, ConstantFold(), "patterns meet scalars as constants, not as computations"),
        Step(.canonicalise, foldIdentities, "patterns meet no step that does nothing"),
        Step(.canonicalise, canonicalizeLinear, "later passes know one op for a product with a weight"),
        Step(.canonicalise, MergeEqualOrders(), "what reads one order is then a common subexpression"),
        Step(.canonicalise, CommonSubexpressions(), "one value has one handle, which patterns compare"),
        Step(.canonicalise, DeadCode(), "single use means a single use that counts"),
        Step(.canonicalise, normalizeSDPA, "one op to look at, after the steps around it are in one form"),
        Step(.canonicalise, ClassifyAttentionMask(), "every attention is found by now, and its mask"),
        Step(.canonicalise, LiftKVCache(), "a cache that grows is known by its causal attention"),
        Step(.canonicalise, DeadCode(), "masks that attention computes by itself, and what they came from"),
        Step(.canonicalise, PositionsAsInput(), "what still counts tokens, counts positions"),

        Step(.fuse, fuseSiLU, "gated activations are looked for by it"),
        Step(.fuse, fuseRMSNorm, "norms of heads must be one op before attention is looked at"),
        Step(.fuse, fuseLayerNorm, "the same for layer norms"),
        Step(.fuse, fuseGelu, "activations stand alone: anywhere in this phase"),
        Step(.fuse, fuseRope, "fuse-qkv and the plugin look through it"),
        Step(.fuse, FuseQKV(), "after norms and rope, which it looks through"),
        Step(.fuse, fuseGateUp, "makes the slices that fuse-swiglu looks for"),
        Step(.fuse, fuseSwiGLU, "after fuse-gate-up"),
    ]

    /// What attention and its cache become.
    private static func attention(_ options: PipelineOptions) -> [Step] {
        var steps: [Step] = []
        switch options.cache {
        case .none: break
        case .staticV1:
            steps.append(
                Step(.cache, InsertStaticCache(version: .v1), "while attention is one op with its keys"))
        case .staticV2:
            steps.append(
                Step(.cache, InsertStaticCache(version: .v2), "while attention is one op with its keys"))
        case .inPlace:
            steps.append(
                Step(.cache, InsertAttentionPlugin(), "after fuse-qkv, so that the packed tensor is there"))
        }
        if options.cache.isStatic, options.aliasKVCache {
            steps.append(Step(.cache, AliasKVCache(), "the concatenations are as they were inserted"))
        }
        switch options.backend {
        case .sdpa:
            steps.append(Step(.cache, DecomposeSDPA(), "after the cache, which looks for whole attentions"))
        case .iattention:
            steps.append(
                Step(.cache, InsertAttentionLayer(), "after the cache, which looks for whole attentions"))
        case .plugin, .reference: break
        }
        return steps
    }

    /// What every backend ends with.
    private static func finishing(_ options: PipelineOptions) -> [Step] {
        var steps = [Step(.cache, fuseAddNorm, "after all that matches plain additions and norms")]
        if options.lastTokenOnly {
            steps.append(Step(.cache, LastTokenLogits(), "at the end, when few ops are left to look through"))
        }
        steps += [
            Step(
                .quantise, QuantizeLinear(bits: 4, hasExactActivations: options.exactActivations),
                "after the last pass that looks at linears or joins them"),
            Step(
                .quantise, QuantizeLinear(bits: 8, hasExactActivations: options.exactActivations),
                "as the pass before; what is left are weights that no kernel reads as codes"),
            Step(
                .quantise, AssignWeightTypes(precision: options.precision, kvCache: options.kvCache),
                "after the last pass that moves or joins weights"),

            Step(.finalise, foldIdentities, "views and transposes that met when attention was replaced"),
            Step(
                .finalise, CommonSubexpressions(), "weights that were transposed twice, masks of all layers"),
            Step(.finalise, DeadCode(), "last: nothing is computed that no output needs"),
        ]
        return steps
    }

    /// The passes for the backend and cache of the options: what a compiler runs.
    public static func standard(_ options: PipelineOptions = PipelineOptions()) -> [any Pass] {
        steps(options).map(\.pass)
    }

    /// Every pass by its name; parameterised ones with their default parameters.
    public static let all: [String: any Pass] = {
        var passes: [String: any Pass] = [:]
        for backend in BackendKind.allCases {
            for cache in backend.caches {
                let options = PipelineOptions(
                    precision: .f16, kvCache: .f16, backend: backend, cache: cache)
                for step in steps(options) { passes[step.pass.name] = step.pass }
            }
        }
        return passes
    }()
}
