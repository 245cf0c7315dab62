public import ApusCompiler
public import ApusEngine
public import ApusGraph
public import ApusPasses
import ApusSupport

/// How a model is loaded.
public struct LoadOptions: Sendable {
    /// Element type of the weights; nil is the checkpoint's own.
    public var precision: ElementType?
    /// Element type of the KV cache: `f32`, `f16`, `bf16`, or `i8` with the attention plugin; nil is that of the
    /// weights.
    public var kvCacheType: ElementType?
    /// What computes, that is what attention becomes.
    public var backend: BackendKind
    /// Where keys and values are kept; nil is the first that the backend goes with.
    public var cache: CacheKind?
    /// Whether static caches are updated in place where that is proven to be right.
    public var aliasKVCache: Bool
    /// Whether products with quantised weights keep their inputs in FP32, rather than round them to 8 bits.
    public var exactActivations: Bool
    /// Whether a pass computes the logits of all its tokens, as ``LanguageModel/evaluate(_:comparedWith:options:progress:)``
    /// needs them, and not of the last one only.
    public var allLogits: Bool
    /// The device that computes; nil is that of an engine, and the processor for anything else.
    public var device: Device?
    /// Threads that compute; nil is one for each physical core.
    public var threads: Int?
    /// Sequences to plan memory for; a call with more of them plans anew.
    public var batchSize: Int
    /// Tokens of a sequence to plan memory for; nil is what each call needs, the model's positions at most.
    public var contextLength: Int?
    /// Tokens of a prompt that run in one pass; nil chooses.
    public var chunk: Int?
    /// Folder with `tokenizer.json`; nil is the model's own.
    public var tokenizerFolder: String?
    /// Whether a model without a tokenizer is an error, rather than a model that takes token ids only.
    public var requiresTokenizer: Bool
    /// Where engines of folders are kept from one load to the next; nil compiles each time.
    public var engineCache: EngineCache?
    /// The plugins that the model may need: those of Apus, and what a program registers beside them.
    public var plugins: PluginRegistry
    /// Passes of the program's own, with their places, by which its plugins come into the model.
    public var passes: [ExtraPass]
    /// Folder for the graph's text before the first pass and after each; nil for none.
    public var dumpDirectory: String?
    /// Called with the graph before and after each pass, such as ``PassChecker/check``.
    public var check: PassManager.Check?

    /// Makes options; without arguments everything is chosen by model and machine.
    public init(
        precision: ElementType? = nil, kvCacheType: ElementType? = nil, backend: BackendKind = .plugin,
        cache: CacheKind? = nil, aliasKVCache: Bool = true, exactActivations: Bool = false,
        allLogits: Bool = false, device: Device? = nil, threads: Int? = nil,
        batchSize: Int = 1, contextLength: Int? = nil, chunk: Int? = nil, tokenizerFolder: String? = nil,
        requiresTokenizer: Bool = false, engineCache: EngineCache? = nil,
        plugins: PluginRegistry = .standard, passes: [ExtraPass] = [], dumpDirectory: String? = nil,
        check: PassManager.Check? = nil
    ) {
        self.precision = precision
        self.kvCacheType = kvCacheType
        self.backend = backend
        self.cache = cache
        self.aliasKVCache = aliasKVCache
        self.exactActivations = exactActivations
        self.allLogits = allLogits
        self.device = device
        self.threads = threads
        self.batchSize = batchSize
        self.contextLength = contextLength
        self.chunk = chunk
        self.tokenizerFolder = tokenizerFolder
        self.requiresTokenizer = requiresTokenizer
        self.engineCache = engineCache
        self.plugins = plugins
        self.passes = passes
        self.dumpDirectory = dumpDirectory
        self.check = check
    }

    /// What the compiler is told.
    public var compile: CompileOptions {
        CompileOptions(
            precision: precision, kvCacheType: kvCacheType, backend: backend, cache: cache,
            aliasKVCache: aliasKVCache, exactActivations: exactActivations, allLogits: allLogits,
            passes: passes, dumpDirectory: dumpDirectory, check: check)
    }

    /// Whether somebody watches the passes run, which those of an engine that was kept do not.
    var isWatched: Bool { dumpDirectory != nil || check != nil }

    /// Checks what can be checked without a model.
    func validate() throws(ApusError) {
        _ = try backend.cache(cache)
        guard backend != .reference || precision == nil || precision == .f32 else {
            throw ApusError(
                .unsupported,
                "precision: the reference backend computes in FP32, got \(precision?.rawValue ?? ""); "
                    + "leave the precision out or choose another backend")
        }
        guard backend != .reference || device ?? .cpu == .cpu else {
            throw ApusError(
                .unsupported, "device: the reference backend runs on the processor; leave the device out")
        }
        guard backend != .reference || kvCacheType == nil else {
            throw ApusError(
                .unsupported, "kvCacheType: the reference backend keeps no keys and values; leave it out")
        }
        if let threads { try ThreadPool.check(threads) }
        for (name, value) in [("batchSize", batchSize), ("contextLength", contextLength), ("chunk", chunk)] {
            guard let value, value < 1 else { continue }
            throw ApusError(.invalidInput, "\(name): expected at least 1, got \(value)")
        }
    }
}
