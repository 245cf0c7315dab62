import Apus
import ArgumentParser

/// Flags that say what attention becomes and where keys and values are kept.
struct BackendFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What attention becomes, one or a list (default: plugin; of a matrix all).",
            valueName: "name,..."))
    var backend: BackendList?

    @Option(
        help: ArgumentHelp(
            "Where keys and values are kept, one or a list (default: none, or the plugin's own place).",
            discussion: "\(Variant.allowed).", valueName: "kind,..."))
    var cache: CacheList?

    @Option(
        help: ArgumentHelp(
            "What computes: cpu, cuda or cuda:N (default: cpu, or what an engine is for).",
            valueName: "device"))
    var device: DeviceOption?

    @Option(
        name: [.customLong("kv-cache-type"), .customLong("kv_cache_type")],
        help: ArgumentHelp(
            "Type of cached keys and values (default: that of the weights); INT8 with the plugin only.",
            valueName: "type"))
    var kvCacheType: KVCacheType?

    @Flag(
        name: [.customLong("no-alias-kv-cache"), .customLong("no_alias_kv_cache")],
        help: "Copy static caches in every step, as their graphs say, instead of updating them in place.")
    var copiesCaches = false

    @Flag(
        name: [.customLong("exact-activations"), .customLong("exact_activations")],
        help: "Multiply quantised weights with FP32 inputs instead of inputs rounded to 8 bits.")
    var exactActivations = false

    mutating func validate() throws {
        // Whoever has the flags knows which backends stand in for none.
        if backend != nil { _ = try variants() }
    }

    /// The pairs of backend and cache that the flags ask for: for a single backend the cache given, or its own; for
    /// several all that go together.
    /// - Throws: a usage error that names the pairs there are.
    /// - Parameter fallback: The backends without `--backend`.
    func variants(_ fallback: BackendList = BackendList([.plugin])) throws -> [Variant] {
        var variants: [Variant] = []
        let backend = backend ?? fallback
        let wanted = cache?.values ?? []
        let isList = backend.values.count > 1
        for kind in backend.values {
            let caches = !wanted.isEmpty ? wanted : isList ? kind.caches : [kind.caches[0]]
            for cache in caches {
                if kind.caches.contains(cache) {
                    variants.append(
                        Variant(
                            backend: kind, cache: cache, isAliased: !copiesCaches, isExact: exactActivations,
                            kvCacheType: kind == .reference ? nil : kvCacheType?.element,
                            device: kind == .reference ? nil : device?.device))
                } else if !isList {
                    throw Self.refusal(kind.rawValue, cache.rawValue)
                }
            }
        }
        guard !variants.isEmpty else {
            throw Self.refusal(
                backend.defaultValueDescription, CacheList(wanted).defaultValueDescription)
        }
        return variants
    }

    /// What plans are made for: the device, or for GPUs that are not there, the reference GPU.
    func planningBackend() throws(ApusError) -> any Backend {
        try (device?.device ?? .cpu).makeCompilingBackend(architectures: [.hopper])
    }

    /// The one pair that the flags ask for.
    /// - Throws: a usage error if they ask for several.
    func variant() throws -> Variant {
        let variants = try variants()
        guard variants.count == 1 else {
            throw ValidationError(
                "--backend and --cache: expected one backend and one cache, got \(variants.count) pairs; lists go "
                    + "with benchmarks.")
        }
        return variants[0]
    }

    /// As ``variants(_:)``; for an engine the pair that it was compiled for, which the flags may only confirm.
    /// - Throws: `.mismatch` for flags that ask for another, and what opening the engine throws.
    func variants(of path: String) throws -> [Variant] {
        guard EngineFile.isEngine(path: path) else { return try variants() }
        let origin = try EngineFile(path: path).manifest.origin
        guard let kind = BackendKind(rawValue: origin.attention),
            let place = CacheKind(rawValue: origin.cache)
        else {
            throw ApusError(
                .unsupported,
                "\(path): expected a backend and a cache that this version knows, got \(origin.attention) with "
                    + "\(origin.cache); compile the model anew")
        }
        guard !exactActivations else {
            throw ApusError(
                .mismatch,
                "--exact-activations: \(path) is an engine, whose kernels are chosen; compile the model with the flag"
            )
        }
        let own = Variant(
            backend: kind, cache: place, kvCacheType: kvCacheType?.element, device: device?.device)
        let isConfirmed =
            backend.map { $0.values == [kind] } ?? true
            && cache.map { $0.values.isEmpty || $0.values == [place] } ?? true
        guard isConfirmed || backend?.values == [.reference] else {
            throw ApusError(
                .mismatch,
                "--backend and --cache: \(path) is an engine of \(own.name); leave them out, or give the model's folder"
            )
        }
        return isConfirmed ? [own] : try variants()
    }

    /// The one pair that the flags ask for, or that the engine at `path` was compiled for.
    /// - Throws: As ``variant()`` and ``variants(of:)``.
    func variant(of path: String) throws -> Variant {
        guard EngineFile.isEngine(path: path) else { return try variant() }
        return try variants(of: path)[0]
    }

    private static func refusal(_ backend: String, _ cache: String) -> ValidationError {
        ValidationError("--backend \(backend) does not go with --cache \(cache). \(Variant.allowed).")
    }
}

/// A backend with a cache.
struct Variant: Equatable, Sendable {
    var backend: BackendKind
    var cache: CacheKind
    /// Whether a static cache is updated in place.
    var isAliased = true
    /// Whether inputs of quantised weights stay FP32.
    var isExact = false
    /// Element type of the cache; nil is that of the weights.
    var kvCacheType: ElementType?
    /// What computes; nil is that of an engine, and the processor for anything else.
    var device: Device?

    /// The rule in one sentence.
    static let allowed =
        "Allowed are "
        + BackendKind.allCases.map { backend in
            "--backend \(backend.rawValue) with \(backend.caches.map(\.rawValue).joined(separator: ", "))"
        }.joined(separator: "; ")

    /// The cache, and that it is copied where it need not be.
    var cacheName: String { cache.rawValue + (cache.isStatic && !isAliased ? ", copied" : "") }

    /// The pair as tables name it.
    var name: String { backend.caches.count > 1 ? "\(backend.rawValue)/\(cacheName)" : backend.rawValue }

    /// Options that load a model for it.
    func options(
        precision: ElementType? = nil, threads: Int? = nil, batchSize: Int = 1, contextLength: Int? = nil
    ) -> LoadOptions {
        LoadOptions(
            precision: precision, kvCacheType: kvCacheType, backend: backend, cache: cache,
            aliasKVCache: isAliased, exactActivations: isExact, device: device, threads: threads,
            batchSize: batchSize,
            contextLength: contextLength)
    }
}

/// The value of `--backend`: names with commas between them, or `all`.
struct BackendList: ExpressibleByArgument, Equatable, Sendable {
    let values: [BackendKind]

    init(_ values: [BackendKind]) { self.values = values }

    init?(argument: String) {
        if argument == "all" {
            values = BackendKind.allCases
        } else {
            guard let values: [BackendKind] = parsed(argument) else { return nil }
            self.values = values
        }
    }

    var defaultValueDescription: String { values.map(\.rawValue).joined(separator: ",") }

    static var allValueStrings: [String] { BackendKind.allCases.map(\.rawValue) + ["all"] }
}

/// The value of `--cache`: names with commas between them; the empty text, as in run_llm.py, names none.
struct CacheList: ExpressibleByArgument, Equatable, Sendable {
    let values: [CacheKind]

    init(_ values: [CacheKind]) { self.values = values }

    init?(argument: String) {
        guard let values: [CacheKind] = argument.isEmpty ? [] : parsed(argument) else { return nil }
        self.values = values
    }

    var defaultValueDescription: String { values.map(\.rawValue).joined(separator: ",") }

    static var allValueStrings: [String] { CacheKind.allCases.map(\.rawValue) }
}

/// Different values with commas between them.
private func parsed<Kind: RawRepresentable & Equatable>(_ text: String) -> [Kind]?
where Kind.RawValue == String {
    var values: [Kind] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let value = Kind(rawValue: part.trimmed), !values.contains(value) else { return nil }
        values.append(value)
    }
    return values
}
