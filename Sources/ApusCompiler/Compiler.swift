public import ApusEngine
public import ApusGraph
public import ApusPasses
public import ApusSupport
import Dispatch
import Synchronization

/// What a user decides about an engine.
public struct CompileOptions: Sendable {
    /// Element type of the weights of matrix products; nil is the checkpoint's own.
    public var precision: ElementType?
    /// Element type of the KV cache: `f32`, `f16`, `bf16`, or `i8` with a scale for each head and token, which the
    /// attention plugin alone reads; nil is that of the weights.
    public var kvCacheType: ElementType?
    /// What attention becomes; the reference backend compiles nothing.
    public var backend: BackendKind
    /// Where keys and values are kept; nil is the first that the backend goes with.
    public var cache: CacheKind?
    /// Whether static caches are updated in place where that is proven to be right.
    public var aliasKVCache: Bool
    /// Whether products with quantised weights keep their inputs in FP32, rather than round them to 8 bits.
    public var exactActivations: Bool
    /// Whether logits of all tokens are computed, as an evaluation needs them, and not of the last one only.
    public var allLogits: Bool
    /// Passes of the program's own, with their places; the ops they use are those of Apus and of its plugins.
    public var passes: [ExtraPass]
    /// Folder that gets the graph's text before and after each pass; nil for none.
    public var dumpDirectory: String?
    /// Called with the graph before and after each pass, to compare them.
    public var check: PassManager.Check?
    /// Whether the engine shall carry all kernels that it may need, of backends that compile them, as one that is kept
    /// must; if not, they are compiled when they are first launched.
    public var carriesKernels = true

    /// Makes options.
    public init(
        precision: ElementType? = nil, kvCacheType: ElementType? = nil, backend: BackendKind = .plugin,
        cache: CacheKind? = nil, aliasKVCache: Bool = true, exactActivations: Bool = false,
        allLogits: Bool = false, passes: [ExtraPass] = [],
        dumpDirectory: String? = nil,
        check: PassManager.Check? = nil
    ) {
        self.precision = precision
        self.kvCacheType = kvCacheType
        self.backend = backend
        self.cache = cache
        self.aliasKVCache = aliasKVCache
        self.exactActivations = exactActivations
        self.allLogits = allLogits
        self.passes = passes
        self.dumpDirectory = dumpDirectory
        self.check = check
    }
}

/// The compiler: import → canonicalise → fuse → cache → quantise → select → plan → emit.
public enum Compiler {
    /// A graph after all passes, and what each pass did.
    public struct Lowered: Sendable {
        /// The lowered graph.
        public let graph: Graph
        /// One report for each pass, in order.
        public let passes: [PassReport]
        /// Element type of the weights.
        public let precision: ElementType
    }

    /// Runs the passes: from an imported graph to the one that kernels are chosen for.
    /// - Parameters:
    ///   - graph: The imported graph.
    ///   - weights: The values of its parameters: a mask that is one of them is understood by its values.
    ///   - info: What the model is.
    ///   - options: What the user decides.
    ///   - plugins: What the graph may use beside the ops of Apus.
    /// - Throws: What a pass throws, `.invalidInput` for a backend and a cache that do not go together, and
    ///   `.unsupported` if an attention layer does not fit the plugin, with the reason.
    public static func lower(
        _ graph: Graph, weights: (any WeightSource)? = nil, info: ModelInfo,
        options: CompileOptions = CompileOptions(), plugins: PluginRegistry = PluginRegistry()
    ) throws(ApusError) -> Lowered {
        let precision = options.precision ?? info.precision
        guard precision.isFloat else {
            throw ApusError(
                .invalidInput, "precision: expected FP32, FP16 or BF16, got \(precision.rawValue)")
        }
        let manager = PassManager(
            registry: plugins.ops(), weights: weights, dumpDirectory: options.dumpDirectory,
            check: options.check)
        let cache = try options.backend.cache(options.cache)
        guard options.backend != .reference else {
            throw ApusError(
                .invalidInput, "the reference backend runs graphs as they are; there is no engine")
        }
        let kvCache = options.kvCacheType ?? precision
        guard kvCache.isFloat || kvCache == .i8 else {
            throw ApusError(
                .invalidInput,
                "kvCacheType: expected FP32, FP16, BF16 or INT8, got \(kvCache.rawValue)")
        }
        guard kvCache.isFloat || options.backend == .plugin else {
            throw ApusError(
                .unsupported,
                "kvCacheType: an INT8 cache is read by the attention plugin alone, got backend "
                    + "\(options.backend.rawValue) with cache \(cache.rawValue); choose FP32, FP16 or BF16, or the "
                    + "plugin backend")
        }
        let steps = try Pipeline.steps(
            PipelineOptions(
                precision: precision, kvCache: kvCache, lastTokenOnly: !options.allLogits,
                backend: options.backend, cache: cache,
                aliasKVCache: options.aliasKVCache, exactActivations: options.exactActivations),
            with: options.passes)
        let (lowered, reports) = try manager.run(graph, steps.map(\.pass))
        // A layer without a KV cache beside layers with one would decode wrongly, and silently.
        let missed = reports.flatMap(\.attention).filter { $0.reason != nil }
        guard missed.isEmpty || options.backend != .plugin else {
            throw ApusError(
                .unsupported,
                "\(missed.count) attention layer(s) do not fit the attention plugin:"
                    + missed.map { "\n  \($0)" }.joined())
        }
        return Lowered(graph: lowered, passes: reports, precision: precision)
    }

    /// Compiles a model for a backend.
    /// - Parameters:
    ///   - graph: The imported graph, at ATen level.
    ///   - weights: Where the values of its parameters come from.
    ///   - info: What the model is.
    ///   - options: What the user decides.
    ///   - plugins: What computes ops that the backend has no kernels of; AttentionPlugin is one of them.
    ///   - backend: The device to choose kernels of and to convert weights with.
    ///   - progress: Told how many bytes of weights are packed.
    /// - Throws: `.unsupported` with every node that has no kernel; whatever reading weights throws.
    public static func compile(
        _ graph: Graph, weights: any WeightSource, info: ModelInfo,
        options: CompileOptions = CompileOptions(), plugins: PluginRegistry, backend: any Backend,
        progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        let lowered = try lower(graph, weights: weights, info: info, options: options, plugins: plugins)
        let draft = try plan(lowered, plugins: plugins, backend: backend)
        let store = try WeightStore(draft.weights.map { ($0.name, $0.type, $0.packing) })
        let values = draft.weights.map(\.value)
        try emit(
            values, draft.weights.map(\.packing), lowered.graph, into: store, from: weights, backend: backend,
            progress: progress)
        let origin = EngineOrigin(
            device: backend.name, weightLayout: backend.weightLayout, attention: options.backend.rawValue,
            cache: try options.backend.cache(options.cache).rawValue,
            report: lowered.passes.flatMap(\.attention).map(\.description)
                + lowered.passes.flatMap(\.remarks),
            importHash: try importHash(of: graph, weights),
            sources: WeightGraph.text(of: lowered.graph, outputs: values))
        return Engine(
            info: info, plan: draft.plan, weights: store, precision: lowered.precision, plugins: plugins,
            origin: origin,
            kernels: options.carriesKernels
                ? try backend.compileKernels(for: draft.plan, plugins) : KernelStore())
    }

    /// Chooses kernels and lays out tensors, without touching any weight.
    static func plan(
        _ lowered: Lowered, plugins: PluginRegistry, backend: any Backend
    ) throws(ApusError) -> PlanBuilder.Result {
        try PlanBuilder.build(
            lowered.graph, registry: plugins.ops(), backend: backend, plugins: plugins,
            expressions: WeightExpressions(lowered.graph))
    }

    /// The plan of a lowered graph, to be looked at; it holds no weights.
    public static func dryRun(
        _ lowered: Lowered, plugins: PluginRegistry, backend: any Backend
    ) throws(ApusError) -> Plan {
        try plan(lowered, plugins: plugins, backend: backend).plan
    }

    /// Packs all weights, several at a time: `values` of the graph into the regions of the same index.
    static func emit(
        _ values: [Value], _ packings: [(any WeightPacking)?], _ graph: Graph, into store: WeightStore,
        from source: any WeightSource,
        backend: any Backend, progress: (any ProgressReporter)?
    ) throws(ApusError) {
        let expressions = WeightExpressions(graph)
        let packer = WeightPacker(graph: graph, expressions: expressions, source: source, backend: backend)
        let total = store.byteCount
        let completed = Atomic<Int>(0)
        let next = Atomic<Int>(0)
        let failure = Mutex<ApusError?>(nil)
        let releases = ReleaseCounts(values, expressions)
        DispatchQueue.concurrentPerform(iterations: packingThreads) { _ in
            while failure.withLock({ $0 == nil }) {
                let region = next.add(1, ordering: .relaxed).oldValue
                guard region < values.count else { return }
                let value = values[region]
                do throws(ApusError) {
                    try packer.pack(value, packings[region], into: try store.bytes(of: region))
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    return
                }
                for name in releases.used(by: value) { source.release(name) }
                let bytes = store.regions[region].byteCount
                let done = completed.add(bytes, ordering: .relaxed).newValue
                progress?.progress("Packing weights", completed: done, total: total)
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Reading from the page cache and converting keeps about this many threads busy.
    private static let packingThreads = 4
}

/// Knows when the last use of a checkpoint's weight has been packed.
private final class ReleaseCounts: Sendable {
    private let names: [Value: [String]]
    private let remaining: Mutex<[String: Int]>

    init(_ values: [Value], _ expressions: WeightExpressions) {
        let names = Dictionary(
            values.map { ($0, expressions.parameters(of: $0)) }, uniquingKeysWith: { first, _ in first })
        self.names = names
        var counts: [String: Int] = [:]
        for name in values.flatMap({ names[$0] ?? [] }) { counts[name, default: 0] += 1 }
        remaining = Mutex(counts)
    }

    /// The weights that nothing needs any more now that `value` is packed.
    func used(by value: Value) -> [String] {
        remaining.withLock { counts in
            (names[value] ?? []).filter { name in
                counts[name, default: 1] -= 1
                return counts[name] == 0
            }
        }
    }
}
