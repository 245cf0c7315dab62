public import ApusEngine
import ApusGraph
public import ApusRuntime
public import ApusSupport

/// A way to generate tokens with an engine: what is kept from one token to the next, and how it is passed on.
///
/// There is one for each way that engines keep keys and values; `Engine.generate`, `generateWithStaticCache` and
/// `generateWithPlugin` are their short forms. ``LanguageModel`` chooses by its options.
public protocol GenerationMethod: Sendable {
    /// How the engines that the method drives keep keys and values.
    var cacheMode: CacheMode { get }

    /// The sizes to prepare for.
    func limits(_ prompts: [[Int32]], maxNewTokens: Int) -> SessionLimits
}

/// Computes the whole sequence for every token.
public struct Recomputation: GenerationMethod {
    /// Engines without a cache.
    public var cacheMode: CacheMode { .recompute }

    /// Makes the method.
    public init() {}

    /// Room for the longest sequence.
    public func limits(_ prompts: [[Int32]], maxNewTokens: Int) -> SessionLimits {
        let capacity = longest(prompts) + maxNewTokens
        return SessionLimits(batch: prompts.count, chunk: capacity, capacity: capacity)
    }
}

/// Passes caches of a fixed capacity, zero at first, with `start_idx` and `end_idx` in every call.
public struct StaticCaching: GenerationMethod {
    /// Engines with static caches.
    public var cacheMode: CacheMode { .staticCache }
    /// Rows of the caches; nil is prompt and new tokens.
    public var capacity: Int?

    /// Makes the method.
    public init(capacity: Int? = nil) { self.capacity = capacity }

    /// Caches of the capacity, or for the longest sequence.
    public func limits(_ prompts: [[Int32]], maxNewTokens: Int) -> SessionLimits {
        cached(prompts, capacity ?? longest(prompts) + maxNewTokens)
    }
}

/// Lets the plugin keep keys and values in its own caches.
public struct PluginCaching: GenerationMethod {
    /// Engines with attention plugins.
    public var cacheMode: CacheMode { .plugin }
    /// Positions of the caches; nil is prompt and new tokens.
    public var capacity: Int?

    /// Makes the method.
    public init(capacity: Int? = nil) { self.capacity = capacity }

    /// Caches of the capacity, or for the longest sequence.
    public func limits(_ prompts: [[Int32]], maxNewTokens: Int) -> SessionLimits {
        cached(prompts, capacity ?? longest(prompts) + maxNewTokens)
    }
}

extension GenerationMethod {
    func longest(_ prompts: [[Int32]]) -> Int { prompts.reduce(0) { max($0, $1.count) } }

    /// Limits for whole prompts; a backend may take them in chunks.
    func cached(_ prompts: [[Int32]], _ capacity: Int) -> SessionLimits {
        SessionLimits(
            batch: prompts.count, chunk: max(longest(prompts), 1), capacity: capacity)
    }

    /// Generates token ids until every sequence has ended.
    /// - Parameters:
    ///   - prompts: Token ids of each sequence; lengths may differ.
    ///   - engine: Must keep keys and values in the method's way.
    ///   - backend: The backend that the engine was compiled for.
    ///   - options: How to choose tokens and when to stop; stop strings need a tokenizer, and so a model.
    ///   - onToken: Called for each token when it is chosen, sequences in turn. What it throws ends the call.
    /// - Returns: One result for each prompt, without text.
    /// - Throws: `.mismatch` for an engine of another kind, `.invalidInput` for prompts or options that it cannot
    ///   serve.
    public func generate(
        _ prompts: [[Int32]], engine: Engine, on backend: any Backend,
        options: GenerationOptions = GenerationOptions(),
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        guard engine.cacheMode == cacheMode else {
            let calls: [CacheMode: String] = [
                .recompute: "generate", .staticCache: "generateWithStaticCache",
                .plugin: "generateWithPlugin",
            ]
            throw ApusError(
                .mismatch,
                "expected an engine with cache mode '\(cacheMode.rawValue)', got '\(engine.cacheMode.rawValue)'; call "
                    + "\(calls[engine.cacheMode] ?? ""), or compile for another backend and cache")
        }
        try options.validate(prompts, for: engine.info)
        var limits = limits(prompts, maxNewTokens: options.maxNewTokens)
        limits.chunk = min(limits.chunk, backend.promptChunk)
        let executor = try backend.makeExecutor(engine, limits: limits)
        return try Generator(executor: executor, model: engine.info)
            .generate(prompts, options: options, onToken: onToken)
    }
}

extension Engine {
    /// Generates without a cache: ``Recomputation``.
    public func generate(
        _ prompts: [[Int32]], on backend: any Backend, options: GenerationOptions = GenerationOptions(),
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        try Recomputation().generate(
            prompts, engine: self, on: backend, options: options, onToken: onToken)
    }

    /// Generates with static caches: ``StaticCaching``.
    /// - Parameter capacity: Rows of the caches; nil is prompt and new tokens.
    public func generateWithStaticCache(
        _ prompts: [[Int32]], on backend: any Backend, options: GenerationOptions = GenerationOptions(),
        capacity: Int? = nil,
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        try StaticCaching(capacity: capacity).generate(
            prompts, engine: self, on: backend, options: options, onToken: onToken)
    }

    /// Generates with the plugin's own caches: ``PluginCaching``.
    /// - Parameter capacity: Positions of the caches; nil is prompt and new tokens.
    public func generateWithPlugin(
        _ prompts: [[Int32]], on backend: any Backend, options: GenerationOptions = GenerationOptions(),
        capacity: Int? = nil,
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        try PluginCaching(capacity: capacity).generate(
            prompts, engine: self, on: backend, options: options, onToken: onToken)
    }
}
