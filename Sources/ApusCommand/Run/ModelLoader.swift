import Apus

/// Loads the model that the flags name, in steps, so that wrong input is refused before weights are packed.
struct ModelLoader {
    /// The model, opened.
    let source: ModelSource
    private let flags: ModelFlags
    private let isOneOfMany: Bool
    private let allLogits: Bool

    /// Reads config, headers of the weights, and the tokenizer; or the header of an engine.
    /// - Parameters:
    ///   - flags: What the user asks for.
    ///   - variants: The backends and caches that will be loaded; among several the reference backend computes in
    ///     FP32, whatever the others compute in, and all are compiled, whatever the engine cache holds.
    ///   - requiresTokenizer: Whether a model without a tokenizer is an error.
    ///   - allLogits: Whether passes give the logits of all tokens.
    /// - Throws: what reading them throws; `.unsupported` for a precision the backend does not compute in.
    init(
        _ flags: ModelFlags, _ variants: [Variant], requiresTokenizer: Bool, allLogits: Bool = false
    ) throws(ApusError) {
        self.allLogits = allLogits
        self.flags = flags
        isOneOfMany = variants.count > 1
        let first = variants.first ?? Variant(backend: .plugin, cache: BackendKind.plugin.caches[0])
        source = try ModelSource(
            path: flags.model, options: Self.options(flags, first, isOneOfMany, allLogits))
        guard source.tokenizer != nil || !requiresTokenizer else {
            throw ApusError(
                .notFound,
                "--prompt: \(flags.model) has no tokenizer.json to make tokens with; name a folder that has one "
                    + "with --tokenizer, or give token ids with --input-ids")
        }
    }

    /// What the model is.
    var info: ModelInfo { source.info }

    /// Turns text into tokens and back; nil if there is none.
    var tokenizer: Tokenizer? { source.tokenizer }

    /// All that decides what an engine holds, the same when a model is opened and when it is loaded.
    private static func options(
        _ flags: ModelFlags, _ variant: Variant, _ isOneOfMany: Bool, _ allLogits: Bool
    ) -> LoadOptions {
        let isReference = isOneOfMany && variant.backend == .reference
        var options = variant.options(
            precision: isReference ? nil : flags.precision?.element, threads: flags.threads)
        options.tokenizerFolder = flags.tokenizer
        options.engineCache = isOneOfMany ? nil : flags.engineCache.cache
        options.dumpDirectory = flags.passes.dumpPasses
        options.allLogits = allLogits
        return options
    }

    /// Compiles the model for a backend and cache, or loads its engine; shows progress on a terminal.
    func load(_ variant: Variant, batchSize: Int, contextLength: Int?) throws(ApusError) -> LanguageModel {
        var options = Self.options(flags, variant, isOneOfMany, allLogits)
        options.batchSize = batchSize
        options.contextLength = contextLength
        let checker = try checker()
        options.check = checker?.check
        if flags.debug { try describe(options) }
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        let model = try LanguageModel(source, options: options, progress: bar)
        bar?.finish()
        Warnings.tell(model.warnings)
        if flags.debug { describe(model) }
        flags.passes.report(checker)
        return model
    }

    /// Compares the numbers of the passes, if that is wanted.
    /// - Throws: `.unsupported` for an engine, whose passes have run.
    private func checker() throws(ApusError) -> PassChecker? {
        guard flags.passes.checkPasses || flags.passes.dumpPasses != nil else { return nil }
        guard case .imported(let imported) = source.content else {
            throw ApusError(
                .unsupported,
                "--check-passes and --dump-passes: the passes of the engine \(source.path) have run when it was "
                    + "compiled; give the model's folder")
        }
        return flags.passes.checker(imported.weights)
    }

    /// What would be built for a variant.
    /// - Throws: `.unsupported` for an engine, which is built.
    func dryRun(_ variant: Variant) throws(ApusError) -> DryRunReport {
        let options = Self.options(flags, variant, isOneOfMany, allLogits)
        let imported = try source.importedModel()
        return DryRunReport(
            try Compiler.lower(
                imported.graph, weights: imported.weights, info: info, options: Self.unwatched(options)),
            info: info,
            sourceNodes: imported.graph.nodes.count, backend: try flags.backends.planningBackend())
    }

    /// What the compiler is told where the passes run only to be described.
    private static func unwatched(_ options: LoadOptions) -> CompileOptions {
        var compile = options.compile
        (compile.dumpDirectory, compile.check) = (nil, nil)
        return compile
    }

    /// Refuses what needs the checkpoint itself.
    /// - Throws: `.unsupported` that names the flag.
    func requireFolder(for flag: String) throws(ApusError) {
        guard OutputFile.isFolder(source.path) else {
            throw ApusError(
                .unsupported, "\(flag): needs the model's folder, got the engine \(source.path)")
        }
    }

    /// Tells on standard error what was imported and what each pass did.
    private func describe(_ options: LoadOptions) throws(ApusError) {
        Self.tell(
            "model \(info.modelType): \(info.layerCount) layers, vocabulary \(info.vocabularySize), "
                + "\(info.maxPositions) positions, \(info.precision.rawValue); end tokens \(info.endTokens)")
        Self.tell("tokenizer: " + (tokenizer.map { "\($0.vocabularySize) tokens" } ?? "none"))
        guard options.backend != .reference else { return }
        guard case .imported(let imported) = source.content else {
            if case .engine(let file) = source.content {
                Self.tell("engine \(file.path): content \(XXHash64.text(file.header.contentHash))")
                for line in file.manifest.origin.report { Self.tell("  \(line)") }
            }
            return
        }
        let lowered = try Compiler.lower(
            imported.graph, weights: imported.weights, info: info, options: Self.unwatched(options))
        for pass in lowered.passes {
            let change =
                pass.hasChanged ? "\(pass.nodeCountBefore) → \(pass.nodeCountAfter) nodes" : "no change"
            Self.tell(
                "pass \(pass.pass): \(change), \(Figures.duration(seconds: pass.duration / .seconds(1)))")
            for line in pass.attention { Self.tell("  \(line)") }
            for line in pass.caches { Self.tell("  \(line)") }
            for line in pass.remarks { Self.tell("  \(line)") }
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
        if let backend = model.backend { Self.tell(backend.summary) }
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
