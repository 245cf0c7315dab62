import ApusCPU
import ApusCompiler
public import ApusEngine
public import ApusFrontend
public import ApusGraph
import ApusPasses
import ApusReference
public import ApusRuntime
public import ApusSupport
public import ApusTokenizer
import Synchronization

/// A language model that is ready to generate.
///
///     let model = try LanguageModel(folder: "Models/demo")
///     let result = try model.generate("In the beginning")
///     print(result.text ?? "")
///
/// Any thread may use it; calls that generate run one after another. A callback must not call back into the model.
public final class LanguageModel: @unchecked Sendable {
    /// What the model is.
    public let info: ModelInfo
    /// Turns text into tokens and back; nil if the folder has none.
    public let tokenizer: Tokenizer?
    /// How the checkpoint wants to be sampled; ``SamplingOptions/init(_:seed:)`` turns it into options.
    public let generationDefaults: GenerationDefaults
    /// The element type of the weights that compute.
    public let precision: ElementType
    /// The compiled model; nil with the reference backend.
    public let engine: Engine?
    /// Seconds it took to read what the model is: config, headers of the weights, tokenizer.
    public let loadSeconds: Double
    /// Seconds it took to compile, reading and packing all weights included; for an engine, to read its weights.
    public let buildSeconds: Double
    /// What the user should hear of, though nothing failed.
    public let warnings: [String]

    private enum Compute {
        case engine(Engine, any Backend)
        case reference(Interpreter)
    }

    private let compute: Compute
    private let options: LoadOptions
    /// One call at a time holds it; it guards `generator`.
    private let turn = Mutex<Void>(())
    private var generator: Generator?

    /// Loads and compiles a Hugging Face folder.
    /// - Parameters:
    ///   - folder: Has `config.json`, safetensors weights, and `tokenizer.json` unless only ids are used.
    ///   - options: What a user decides.
    ///   - progress: Told how far the build has come.
    /// - Throws: `.notFound`, `.invalidInput`, `.unsupported` or `.mismatch` that names the file and what to do.
    public convenience init(
        folder: String, options: LoadOptions = LoadOptions(), progress: (any ProgressReporter)? = nil
    ) throws(ApusError) {
        try self.init(path: folder, options: options, progress: progress)
    }

    /// Loads a Hugging Face folder or an engine of `apus compile`, told apart by what they contain.
    /// - Parameters:
    ///   - path: The folder, or the engine's file, which needs no other file beside it.
    ///   - options: What a user decides; an engine's precision is decided already.
    ///   - progress: Told how far the work has come.
    /// - Throws: `.notFound`, `.invalidInput`, `.unsupported` or `.mismatch` that names the file and what to do.
    public convenience init(
        path: String, options: LoadOptions = LoadOptions(), progress: (any ProgressReporter)? = nil
    ) throws(ApusError) {
        try self.init(ModelSource(path: path, options: options), options: options, progress: progress)
    }

    /// Compiles a model that was opened, or loads its weights if it is compiled.
    /// - Parameters:
    ///   - source: The model; it is opened anew if it was opened with options that decide otherwise.
    ///   - options: What a user decides.
    ///   - progress: Told how far the work has come.
    /// - Throws: `.unsupported` for what the backend does not do, `.invalidInput` for a damaged engine, and whatever
    ///   reading the weights throws.
    public convenience init(
        _ source: ModelSource, options: LoadOptions = LoadOptions(), progress: (any ProgressReporter)? = nil
    ) throws(ApusError) {
        try options.validate()
        let start = ContinuousClock.now
        var source = try source.matching(options)
        var compute: Compute?
        if case .engine(let file) = source.content {
            let device = if let device = options.device { device } else { try Device(file.header.device) }
            let backend = try PhaseTimes.measure("backend") { () throws(ApusError) in
                try device.makeBackend(threads: options.threads)
            }
            do throws(ApusError) {
                compute = .engine(
                    try file.load(for: backend, plugins: options.plugins, progress: progress), backend)
            } catch {
                // A damaged entry of the cache costs time and nothing else.
                guard source.cacheSlot != nil, error.code != .outOfMemory else { throw error }
                source = try source.imported(options, warning: EngineCache.warning(error))
            }
        }
        var warnings = source.warnings
        if compute == nil {
            let compiled = try Self.compile(
                source.importedModel(), options, isKept: source.cacheSlot != nil, progress)
            if case .engine(let engine, _) = compiled, let slot = source.cacheSlot,
                let warning = slot.store(engine, source, progress)
            {
                warnings.append(warning)
            }
            compute = compiled
        }
        guard let compute else { throw ApusError(.internal, "nothing was compiled") }
        if case .engine(let engine, _) = compute, let wanted = options.kvCacheType,
            let element = engine.kvCacheType, element != wanted
        {
            throw ApusError(
                .mismatch,
                "expected a KV cache of \(wanted.rawValue), got an engine with one of \(element.rawValue); leave the "
                    + "cache type out, or compile the model with it")
        }
        self.init(
            compute, info: source.info, generation: source.generation, tokenizer: source.tokenizer,
            options: options, loadSeconds: source.loadSeconds,
            buildSeconds: (ContinuousClock.now - start) / .seconds(1), warnings: warnings)
    }

    /// Compiles a model that was imported, such as one with random weights.
    /// - Parameters:
    ///   - model: The imported model.
    ///   - tokenizer: Turns text into its tokens; without one the model takes token ids only.
    ///   - options: What a user decides; those about the tokenizer are not used.
    ///   - loadSeconds: Seconds the import took.
    ///   - progress: Told how far the build has come.
    /// - Throws: `.unsupported` for what the backend does not do, and whatever reading the weights throws.
    public convenience init(
        _ model: ImportedModel, tokenizer: Tokenizer? = nil, options: LoadOptions = LoadOptions(),
        loadSeconds: Double = 0, progress: (any ProgressReporter)? = nil
    ) throws(ApusError) {
        try options.validate()
        let start = ContinuousClock.now
        let compute = try Self.compile(model, options, isKept: false, progress)
        self.init(
            compute, info: model.info, generation: model.generation, tokenizer: tokenizer, options: options,
            loadSeconds: loadSeconds, buildSeconds: (ContinuousClock.now - start) / .seconds(1),
            warnings: model.notes)
    }

    private init(
        _ compute: Compute, info: ModelInfo, generation: GenerationDefaults, tokenizer: Tokenizer?,
        options: LoadOptions, loadSeconds: Double, buildSeconds: Double, warnings: [String]
    ) {
        self.compute = compute
        switch compute {
        case .engine(let engine, _):
            self.engine = engine
            precision = engine.precision
        case .reference:
            engine = nil
            precision = .f32
        }
        self.info = info
        generationDefaults = generation
        self.tokenizer = tokenizer
        self.options = options
        self.loadSeconds = loadSeconds
        self.buildSeconds = buildSeconds
        self.warnings = warnings
    }

    private static func compile(
        _ model: ImportedModel, _ options: LoadOptions, isKept: Bool, _ progress: (any ProgressReporter)?
    ) throws(ApusError) -> Compute {
        switch options.backend {
        case .plugin, .sdpa, .iattention:
            let backend = try (options.device ?? .cpu).makeBackend(threads: options.threads)
            var compile = options.compile
            compile.carriesKernels = isKept
            let engine = try Compiler.compile(
                model.graph, weights: model.weights, info: model.info,
                options: compile, plugins: options.plugins, backend: backend, progress: progress)
            return .engine(engine, backend)
        case .reference:
            return .reference(
                try Interpreter(
                    graph: try referenceGraph(model, options), weights: model.weights,
                    registry: options.plugins.ops(),
                    functions: options.plugins.referenceFunctions))
        }
    }

    /// The graph that the reference backend computes: as it was imported, if ids and positions are all it takes.
    ///
    /// One
    /// with a cache of the exporter's, or that counts positions itself, is brought into that form first.
    private static func referenceGraph(
        _ model: ImportedModel, _ options: LoadOptions
    ) throws(ApusError) -> Graph {
        let names = model.graph.inputs.map { model.graph.name(of: $0) ?? "" }
        guard names != [Bindings.inputIDs, Bindings.positionIDs] else { return model.graph }
        let manager = PassManager(registry: options.plugins.ops(), weights: model.weights)
        var graph = try manager.run(model.graph, Pipeline.canonical).graph
        // Beside a cache, exporters treat a single token as a case of its own; without one it is a sequence like any.
        for index in graph.symbols.indices where graph.symbols[index].name == Bindings.tokensSymbol {
            let range = graph.symbols[index].range
            graph.symbols[index].range = min(1, range.lowerBound)...range.upperBound
        }
        return graph
    }

    /// The backend that computes; nil with the reference backend.
    public var backend: (any Backend)? {
        if case .engine(_, let backend) = compute { backend } else { nil }
    }

    /// Tokens of a prompt that one pass takes, unless ``LoadOptions/chunk`` says otherwise.
    public var promptChunk: Int { backend?.promptChunk ?? 512 }

    /// Threads of the processor that compute.
    public var threadCount: Int { (backend as? CPUBackend)?.threadCount ?? 1 }

    /// Prepares memory for batches within `limits`; each executor has caches of its own.
    /// - Throws: `.outOfMemory`.
    public func makeExecutor(_ limits: SessionLimits) throws(ApusError) -> any Executor {
        switch compute {
        case .engine(let engine, let backend): try backend.makeExecutor(engine, limits: limits)
        case .reference(let interpreter):
            RecomputingExecutor(ReferenceComputer(interpreter), model: info, limits: limits)
        }
    }

    /// Generates from token ids until every sequence has ended.
    /// - Parameters:
    ///   - prompts: Token ids of each sequence; lengths may differ.
    ///   - options: How to choose tokens and when to stop.
    ///   - onToken: Called for each token when it is chosen, sequences in turn. What it throws ends the call.
    /// - Returns: One result for each prompt, with its text if there is a tokenizer.
    /// - Throws: `.invalidInput` for prompts or options that the model cannot serve.
    public func generate(
        _ prompts: [[Int32]], options: GenerationOptions = GenerationOptions(),
        onToken: (GeneratedToken) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> [GenerationResult] {
        try turn.withLock { _ throws(ApusError) in
            try options.validate(prompts, for: info)
            let generator = try generator(for: prompts, options)
            let streams: [any TextStream] =
                tokenizer.map { tokenizer in
                    prompts.map { _ in TokenizerTextStream(tokenizer) }
                } ?? []
            return try generator.generate(prompts, options: options, textStreams: streams, onToken: onToken)
        }
    }

    /// What the user should hear of, though nothing failed, of the calls that have generated; see ``warnings``.
    public var runWarnings: [String] { turn.withLock { _ in generator?.session.warnings ?? [] } }

    /// Bytes held for activations and KV caches since the last call that generated.
    public var workingBytes: Int { turn.withLock { _ in generator?.session.workingBytes ?? 0 } }

    /// Positions of a KV cache that is planned for a call: few calls need a new one.
    private static let contextGrain = 256
    /// The generator of the last call, or a new one if that has no room.
    private func generator(for prompts: [[Int32]], _ options: GenerationOptions) throws(ApusError)
        -> Generator
    {
        let needed = prompts.reduce(0) { max($0, $1.count) } + options.maxNewTokens
        let held = generator?.session.limits
        if let generator, let held, held.batch >= prompts.count,
            self.options.contextLength != nil || held.capacity >= needed
        {
            return generator
        }
        // The old memory goes before the new is asked for.
        generator = nil
        let grain = Self.contextGrain
        let grown = max((needed + grain - 1) / grain * grain, held?.capacity ?? 0)
        let capacity = self.options.contextLength ?? min(grown, info.maxPositions)
        let chunk = min(self.options.chunk ?? promptChunk, capacity)
        let limits = SessionLimits(
            batch: max(prompts.count, self.options.batchSize, held?.batch ?? 0), chunk: chunk,
            capacity: capacity)
        let executor = try PhaseTimes.measure("executor") { () throws(ApusError) in try makeExecutor(limits) }
        let fresh = Generator(executor: executor, model: info)
        generator = fresh
        return fresh
    }
}
