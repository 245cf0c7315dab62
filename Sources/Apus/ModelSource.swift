import ApusCPU
public import ApusEngine
public import ApusFrontend
public import ApusGraph
public import ApusSupport
public import ApusTokenizer

/// A model that was found and read so far that it is known what it is; its weights are still on disk.
///
///     let source = try ModelSource(path: "model.apus")
///     let model = try LanguageModel(source)
public struct ModelSource: Sendable {
    /// What the path led to.
    public enum Content: Sendable {
        /// A model that is to be compiled.
        case imported(ImportedModel)
        /// A compiled one.
        case engine(EngineFile)
    }

    /// The path that was given.
    public let path: String
    /// What it led to; an engine also for a folder whose engine was found in the cache.
    public let content: Content
    /// Turns text into tokens and back; nil if there is none.
    public let tokenizer: Tokenizer?
    /// Folder with the tokenizer's files; nil if they are in the engine.
    public let tokenizerFolder: String?
    /// What the user should hear of, though nothing failed.
    public let warnings: [String]
    /// Seconds it took to get here.
    public let loadSeconds: Double
    /// Where the engine of this model is kept, or will be; nil without a cache.
    let cacheSlot: EngineCache.Slot?

    /// Opens a Hugging Face folder, a program of `torch.export.save` or an engine of `apus compile`, told apart by what
    /// they contain.
    /// - Parameters:
    ///   - path: The folder, or the file.
    ///   - options: What a user decides.
    /// - Throws: `.notFound`, `.invalidInput`, `.unsupported` or `.mismatch` that names the file and what to do.
    public init(path: String, options: LoadOptions = LoadOptions()) throws(ApusError) {
        self = try PhaseTimes.measure("header and tokenizer") { () throws(ApusError) in
            try ModelSource(opening: path, options)
        }
    }

    private init(opening path: String, _ options: LoadOptions) throws(ApusError) {
        try options.validate()
        let start = ContinuousClock.now
        if Importer.isProgram(path: path) {
            try self.init(program: path, options, start)
        } else if OutputFile.exists(path), !OutputFile.isFolder(path) {
            try self.init(engine: path, options, start)
        } else {
            let slot = try Self.key(of: path, options).flatMap { options.engineCache?.slot(for: $0) }
            var warnings = slot?.warnings ?? []
            if let slot, let cached = ModelSource(cached: slot, of: path, options, &warnings, start) {
                self = cached
            } else {
                try self.init(folder: path, options, slot: slot, warnings: warnings, start)
            }
        }
    }

    private init(
        engine path: String, _ options: LoadOptions, _ start: ContinuousClock.Instant
    ) throws(ApusError) {
        guard EngineFile.isEngine(path: path) else {
            throw ApusError(
                .invalidInput,
                "\(path): expected a folder with config.json, a program of torch.export.save, or an engine of 'apus compile', "
                    + "got another file"
            )
        }
        let file = try EngineFile(path: path)
        try Self.check(file, options)
        let tokenizer =
            if let folder = options.tokenizerFolder { try Tokenizer(folder: folder) } else {
                try Tokenizer.load(file)
            }
        guard tokenizer != nil || !options.requiresTokenizer else {
            throw ApusError(
                .notFound,
                "\(path): the engine has no tokenizer; compile it from a folder with tokenizer.json")
        }
        self.init(
            path: path, content: .engine(file), tokenizer: tokenizer,
            tokenizerFolder: options.tokenizerFolder,
            warnings: [], slot: nil, start: start)
    }

    private init(
        program path: String, _ options: LoadOptions, _ start: ContinuousClock.Instant
    ) throws(ApusError) {
        var model = try Importer.importProgram(path: path)
        var tokenizer: Tokenizer?
        if let folder = options.tokenizerFolder {
            tokenizer = try Tokenizer(folder: folder)
            try Importer.adopt(generationOf: folder, by: &model)
        }
        guard tokenizer != nil || !options.requiresTokenizer else {
            throw ApusError(
                .notFound,
                "\(path): an exported program has no tokenizer; name a folder that has one with --tokenizer, or give "
                    + "token ids")
        }
        self.init(
            path: path, content: .imported(model), tokenizer: tokenizer,
            tokenizerFolder: options.tokenizerFolder, warnings: model.notes, slot: nil, start: start)
    }

    /// Takes the engine of a folder out of the cache, nil if it is not there or is of no use.
    private init?(
        cached slot: EngineCache.Slot, of folder: String, _ options: LoadOptions, _ warnings: inout [String],
        _ start: ContinuousClock.Instant
    ) {
        guard let file = slot.file else { return nil }
        do throws(ApusError) {
            let tokenizer = try Tokenizer.load(file)
            // The folder tells best what is missing.
            if tokenizer == nil, options.requiresTokenizer || options.tokenizerFolder != nil { return nil }
            let notes = try Importer.notes(ofCheckpoint: folder)
            self.init(
                path: folder, content: .engine(file), tokenizer: tokenizer, tokenizerFolder: nil,
                warnings: warnings + notes, slot: slot, start: start)
        } catch {
            warnings.append(EngineCache.warning(error))
            return nil
        }
    }

    private init(
        folder: String, _ options: LoadOptions, slot: EngineCache.Slot?, warnings: [String],
        _ start: ContinuousClock.Instant
    ) throws(ApusError) {
        let imported = try Importer.importCheckpoint(folder: folder)
        let tokenizerFolder = options.tokenizerFolder ?? folder
        var tokenizer: Tokenizer?
        do {
            tokenizer = try Tokenizer(folder: tokenizerFolder)
        } catch {
            // Token ids need no tokenizer; one that was named must be there.
            guard error.code == .notFound, !options.requiresTokenizer, options.tokenizerFolder == nil else {
                throw error
            }
        }
        self.init(
            path: folder, content: .imported(imported), tokenizer: tokenizer,
            tokenizerFolder: tokenizer == nil ? nil : tokenizerFolder, warnings: warnings + imported.notes,
            slot: slot, start: start)
    }

    private init(
        path: String, content: Content, tokenizer: Tokenizer?, tokenizerFolder: String?, warnings: [String],
        slot: EngineCache.Slot?, start: ContinuousClock.Instant
    ) {
        self.path = path
        self.content = content
        self.tokenizer = tokenizer
        self.tokenizerFolder = tokenizerFolder
        self.warnings = warnings
        cacheSlot = slot
        loadSeconds = (ContinuousClock.now - start) / .seconds(1)
    }

    /// The key of the engine that a folder and options ask for; nil where no cache has it.
    private static func key(of path: String, _ options: LoadOptions) throws(ApusError) -> EngineKey? {
        // What a program's own passes do, a key cannot tell.
        guard options.engineCache != nil, options.backend != .reference, options.passes.isEmpty,
            !options.isWatched,
            OutputFile.isFolder(path)
        else { return nil }
        return try EngineKey(folder: path, options: options)
    }

    /// The source as `options` ask for it: opened anew if those it was opened with ask for another engine.
    ///
    /// An engine must never go into a cache, or come out of it, under the key of other options.
    func matching(_ options: LoadOptions) throws(ApusError) -> ModelSource {
        if cacheSlot == nil, case .engine(let file) = content {
            try Self.check(file, options)
            return self
        }
        let key = try Self.key(of: path, options)
        guard key != cacheSlot?.key || (key != nil && options.engineCache != cacheSlot?.cache) else {
            return self
        }
        return try ModelSource(path: path, options: options)
    }

    /// Refuses options that an engine cannot serve any more; the default backend stands for the engine's own.
    private static func check(_ file: EngineFile, _ options: LoadOptions) throws(ApusError) {
        guard options.backend != .reference else {
            throw ApusError(
                .unsupported,
                "\(file.path): the \(options.backend.rawValue) backend runs an imported model, not an engine; give the "
                    + "model's folder")
        }
        let origin = file.manifest.origin
        let isOther = options.backend != .plugin && options.backend.rawValue != origin.attention
        if isOther || options.cache.map({ $0.rawValue != origin.cache }) == true {
            let wanted = [options.backend.rawValue, options.cache?.rawValue].compactMap { $0 }
            throw ApusError(
                .mismatch,
                "\(file.path): expected backend \(wanted.joined(separator: " with cache ")), got an engine of "
                    + "\(origin.attention) with cache \(origin.cache); leave backend and cache out, or compile the model "
                    + "with them")
        }
        if let wanted = options.precision, wanted != file.manifest.precision {
            throw ApusError(
                .mismatch,
                "\(file.path): expected precision \(wanted.rawValue), got an engine of "
                    + "\(file.manifest.precision.rawValue); leave the precision out, or compile the model with it"
            )
        }
    }

    /// The folder imported, after its engine in the cache turned out to be damaged.
    func imported(_ options: LoadOptions, warning: String) throws(ApusError) -> ModelSource {
        let notes = try Importer.notes(ofCheckpoint: path)
        let others = warnings.filter { !notes.contains($0) }
        return try ModelSource(folder: path, options, slot: cacheSlot, warnings: others + [warning], .now)
    }

    /// What the model is.
    public var info: ModelInfo {
        switch content {
        case .imported(let model): model.info
        case .engine(let file): file.manifest.info
        }
    }

    /// How the checkpoint wants to be sampled.
    public var generation: GenerationDefaults {
        switch content {
        case .imported(let model): model.generation
        case .engine(let file): file.manifest.generation
        }
    }

    /// The model before any pass.
    /// - Throws: `.unsupported` for an engine, which holds no graph.
    public func importedModel() throws(ApusError) -> ImportedModel {
        switch content {
        case .imported(let model): return model
        case .engine(let file):
            throw ApusError(
                .unsupported, "\(file.path): an engine holds a plan and no graph; give the model's folder")
        }
    }

    /// The tokenizer's files, to be carried along by an engine.
    /// - Throws: `.io` for a file that cannot be read.
    public func tokenizerFiles() throws(ApusError) -> [AttachedFile] {
        guard let folder = tokenizerFolder else {
            if case .engine(let file) = content { return try file.attachedTokenizer() }
            return []
        }
        var files: [AttachedFile] = []
        for name in Tokenizer.fileNames where OutputFile.exists("\(folder)/\(name)") {
            files.append(AttachedFile(name: name, bytes: try InputFile(path: "\(folder)/\(name)").bytes()))
        }
        return files
    }
}

extension Tokenizer {
    /// Opens the tokenizer of a model's folder or engine.
    /// - Throws: `.notFound` if there is none; as ``init(folder:)``.
    public static func load(path: String) throws(ApusError) -> Tokenizer {
        guard EngineFile.isEngine(path: path) else { return try Tokenizer(folder: path) }
        guard let tokenizer = try load(EngineFile(path: path)) else {
            throw ApusError(
                .notFound,
                "\(path): the engine has no tokenizer; compile it from a folder with tokenizer.json")
        }
        return tokenizer
    }

    /// The tokenizer that an engine carries, nil if it has none.
    static func load(_ file: EngineFile) throws(ApusError) -> Tokenizer? {
        let name = fileNames[0]
        guard let bytes = try file.tokenizerFile(name) else { return nil }
        return try Tokenizer(json: JSON.parse(bytes, source: "\(file.path): \(name)"))
    }
}
