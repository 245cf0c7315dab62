import Apus

/// Loads the model that the flags name, in steps, so that wrong input is refused before weights are packed.
struct ModelLoader {
    let imported: ImportedModel
    let tokenizer: Tokenizer?
    private let flags: ModelFlags
    private let seconds: Double

    /// Reads config, headers of the weights, and the tokenizer.
    /// - Parameter requiresTokenizer: Whether a folder without a tokenizer is an error.
    /// - Throws: what reading them throws; `.unsupported` for a precision the backend does not compute in.
    init(_ flags: ModelFlags, requiresTokenizer: Bool) throws(ApusError) {
        let start = ContinuousClock.now
        self.flags = flags
        imported = try Self.importModel(flags.model)
        do {
            tokenizer = try Tokenizer(folder: flags.tokenizer ?? flags.model)
        } catch {
            guard error.code == .notFound, flags.tokenizer == nil else { throw error }
            guard !requiresTokenizer else {
                throw ApusError(
                    .notFound,
                    "--prompt: \(flags.model) has no tokenizer.json to make tokens with; name a folder that has one "
                        + "with --tokenizer, or give token ids with --input-ids")
            }
            tokenizer = nil
        }
        seconds = (ContinuousClock.now - start) / .seconds(1)
    }

    /// Reads a model by its path, without its weights.
    static func importModel(_ path: String) throws(ApusError) -> ImportedModel {
        try Importer.importCheckpoint(folder: path)
    }

    /// What the model is.
    var info: ModelInfo { imported.info }

    /// Compiles the model for a backend and cache; shows progress on a terminal.
    ///
    /// Among several variants the reference backend computes in FP32, whatever the others compute in.
    func load(
        _ variant: Variant, isOneOfMany: Bool = false, batchSize: Int, contextLength: Int?
    ) throws(ApusError) -> LanguageModel {
        let isReference = isOneOfMany && variant.backend == .reference
        let options = variant.options(
            precision: isReference ? nil : flags.precision?.element, threads: flags.threads,
            batchSize: batchSize, contextLength: contextLength)
        if flags.debug { try describe(options) }
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        let model = try LanguageModel(
            imported, tokenizer: tokenizer, options: options, loadSeconds: seconds, progress: bar)
        if flags.debug { describe(model) }
        return model
    }

    /// Tells on standard error what was imported and what each pass did.
    private func describe(_ options: LoadOptions) throws(ApusError) {
        Self.tell(
            "model \(info.modelType): \(info.layerCount) layers, vocabulary \(info.vocabularySize), "
                + "\(info.maxPositions) positions, \(info.precision.rawValue); end tokens \(info.endTokens)")
        Self.tell("tokenizer: " + (tokenizer.map { "\($0.vocabularySize) tokens" } ?? "none"))
        guard options.backend != .reference else { return }
        let lowered = try Compiler.lower(
            imported.graph, info: info,
            options: CompileOptions(
                precision: options.precision, backend: options.backend, cache: options.cache,
                aliasKVCache: options.aliasKVCache))
        for pass in lowered.passes {
            let change =
                pass.hasChanged ? "\(pass.nodeCountBefore) → \(pass.nodeCountAfter) nodes" : "no change"
            Self.tell(
                "pass \(pass.pass): \(change), \(Figures.duration(seconds: pass.duration / .seconds(1)))")
            for line in pass.attention { Self.tell("  \(line)") }
            for line in pass.caches { Self.tell("  \(line)") }
        }
    }

    /// Tells on standard error what was compiled and for what.
    private func describe(_ model: LanguageModel) {
        if let engine = model.engine {
            var counts: [String: Int] = [:]
            for step in engine.plan.steps { counts[step.kernel, default: 0] += 1 }
            let kernels = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(
                separator: ", ")
            Self.tell("engine \(engine.precision.rawValue): \(engine.plan.steps.count) steps: \(kernels)")
            Self.tell("weights: \(Figures.bytes(engine.weights.byteCount)) packed")
        }
        if let backend = model.backend {
            Self.tell("\(backend.instructionSet.rawValue) kernels, \(backend.threadCount) threads")
        }
        Self.tell(
            "loaded in \(Figures.duration(seconds: model.loadSeconds)), built in "
                + Figures.duration(seconds: model.buildSeconds))
    }

    private static func tell(_ line: String) {
        // Standard error may be closed; that is no reason to stop.
        try? ByteOutput.standardError.line(line)
        try? ByteOutput.standardError.flush()
    }
}
