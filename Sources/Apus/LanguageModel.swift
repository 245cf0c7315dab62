public import ApusCPU
import ApusCompiler
public import ApusEngine
public import ApusFrontend
public import ApusGraph
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
    /// Seconds it took to read the folder: config, headers of the weights, tokenizer.
    public let loadSeconds: Double
    /// Seconds it took to compile, reading and packing all weights included.
    public let buildSeconds: Double

    private enum Compute {
        case engine(Engine, CPUBackend)
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
        try options.validate()
        let start = ContinuousClock.now
        let model = try Importer.importCheckpoint(folder: folder)
        let tokenizer = try Self.tokenizer(folder: folder, options)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try self.init(model, tokenizer: tokenizer, options: options, loadSeconds: seconds, progress: progress)
    }

    /// Compiles a model that was imported, such as one with random weights.
    /// - Parameters:
    ///   - model: The imported model.
    ///   - tokenizer: Turns text into its tokens; without one the model takes token ids only.
    ///   - options: What a user decides; those about the tokenizer are not used.
    ///   - loadSeconds: Seconds the import took.
    ///   - progress: Told how far the build has come.
    /// - Throws: `.unsupported` for what the backend does not do, and whatever reading the weights throws.
    public init(
        _ model: ImportedModel, tokenizer: Tokenizer? = nil, options: LoadOptions = LoadOptions(),
        loadSeconds: Double = 0, progress: (any ProgressReporter)? = nil
    ) throws(ApusError) {
        try options.validate()
        let start = ContinuousClock.now
        switch options.backend {
        case .plugin, .sdpa, .iattention:
            let backend = try CPUBackend(threads: options.threads)
            let engine = try Compiler.compile(
                model.graph, weights: model.weights, info: model.info,
                options: options.compile, backend: backend, progress: progress)
            self.engine = engine
            compute = .engine(engine, backend)
            precision = engine.precision
        case .reference:
            engine = nil
            compute = .reference(try Interpreter(graph: model.graph, weights: model.weights))
            precision = .f32
        }
        buildSeconds = (ContinuousClock.now - start) / .seconds(1)
        self.loadSeconds = loadSeconds
        self.options = options
        self.tokenizer = tokenizer
        info = model.info
        generationDefaults = model.generation
    }

    private static func tokenizer(folder: String, _ options: LoadOptions) throws(ApusError) -> Tokenizer? {
        do {
            return try Tokenizer(folder: options.tokenizerFolder ?? folder)
        } catch  where error.code == .notFound && !options.requiresTokenizer && options.tokenizerFolder == nil
        {
            return nil
        }
    }

    /// The backend that computes; nil with the reference backend.
    public var backend: CPUBackend? {
        if case .engine(_, let backend) = compute { backend } else { nil }
    }

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

    /// Bytes held for activations and KV caches since the last call that generated.
    public var workingBytes: Int { turn.withLock { _ in generator?.session.workingBytes ?? 0 } }

    /// Positions of a KV cache that is planned for a call: few calls need a new one.
    private static let contextGrain = 256
    /// Tokens of a pass that keep all cores busy with little memory.
    static let defaultChunk = 512

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
        let chunk = min(self.options.chunk ?? Self.defaultChunk, capacity)
        let limits = SessionLimits(
            batch: max(prompts.count, self.options.batchSize, held?.batch ?? 0), chunk: chunk,
            capacity: capacity)
        let fresh = Generator(executor: try makeExecutor(limits), model: info)
        generator = fresh
        return fresh
    }
}
