import Apus
import ArgumentParser

/// `apus compile`: a model as one file that runs by itself.
struct CompileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compile",
        abstract: "Compile a model into one file that runs by itself.",
        discussion: """
            The engine holds the plan, the weights as the kernels read them, and the tokenizer: every other command \
            takes it as a model, and the folder is no longer needed. With --refit the plan of an engine is kept and \
            the weights of another checkpoint of the same model are packed for it; no pass is run.

              apus compile --model FOLDER --output model.apus
              apus run --model model.apus --prompt "In the beginning"
              apus compile --refit model.apus --model OTHER --output other.apus
            """)

    @Option(help: ArgumentHelp("Folder with config.json and *.safetensors.", valueName: "folder"))
    var model: String

    @Option(help: ArgumentHelp("The engine to write; a file of that name is replaced.", valueName: "file"))
    var output: String?

    @OptionGroup var passes: PassFlags

    @Flag(
        name: [.customLong("dry-run"), .customLong("dry_run")],
        help: "Print what would be built (operators, kernels, buffers, memory), and build nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("Folder with tokenizer.json, if it is not the model's.", valueName: "folder"))
    var tokenizer: String?

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: Precision?

    @Option(
        help: ArgumentHelp(
            "With --device cuda: GPU architectures to compile kernels for, here or elsewhere (default: this GPU's).",
            discussion: CUDAArchitecture.all.map { $0.description }.joined(separator: ", ") + ".",
            valueName: "sm_XX,..."))
    var arch: CommaList<ArchitectureOption>?

    @OptionGroup(title: "Backend options")
    var backends: BackendFlags

    @Option(
        help: ArgumentHelp("An engine whose plan is kept; its precision is kept too.", valueName: "engine"))
    var refit: String?

    mutating func validate() throws {
        guard output != nil || dryRun else { throw ValidationError("Give --output, or --dry-run.") }
        guard refit == nil || (!dryRun && !passes.checkPasses && passes.dumpPasses == nil) else {
            throw ValidationError(
                "--refit runs no pass; leave out --dry-run, --dump-passes and --check-passes.")
        }
        if refit != nil, precision != nil || backends.backend != nil || backends.cache != nil {
            throw ValidationError(
                "--refit keeps the engine's precision, backend and cache; leave out --precision, --backend and --cache."
            )
        }
        let variant = try backends.variant()
        guard variant.backend != .reference else {
            throw ValidationError(
                "--backend reference runs a model as it was imported; there is nothing to compile. Give another backend."
            )
        }
    }

    func run() throws {
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        let clock = ContinuousClock()
        let start = clock.now
        let variant = try backends.variant()
        var options = variant.options(precision: precision?.element)
        options.tokenizerFolder = tokenizer
        let source = try ModelSource(path: model, options: options)
        let imported = try source.importedModel()
        Warnings.tell(source.warnings)
        let loaded = clock.now
        let checker = passes.checker(imported.weights)
        options.dumpDirectory = passes.dumpPasses
        options.check = checker?.check
        guard let output, !dryRun else {
            let lowered = try Compiler.lower(
                imported.graph, weights: imported.weights, info: imported.info, options: options.compile)
            let report = DryRunReport(
                lowered, info: imported.info, sourceNodes: imported.graph.nodes.count,
                backend: try backends.planningBackend())
            try ByteOutput.standardOutput.write(try report.text)
            passes.report(checker)
            return try ByteOutput.standardOutput.flush()
        }
        let backend = try (backends.device?.device ?? .cpu).makeCompilingBackend(
            architectures: arch?.values.map(\.architecture) ?? [])
        let engine: Engine
        var files = try source.tokenizerFiles()
        if let refit {
            let file = try EngineFile(path: refit)
            let blueprint = try file.blueprint(for: backend, plugins: options.plugins)
            engine = try ApusError.within(refit) { () throws(ApusError) in
                try Compiler.refit(
                    blueprint, with: imported, plugins: options.plugins, backend: backend, progress: bar)
            }
            // New weights often come without a tokenizer: that of the engine is as good.
            if files.isEmpty { files = try file.attachedTokenizer() }
        } else {
            engine = try Compiler.compile(
                imported.graph, weights: imported.weights, info: imported.info,
                options: options.compile, plugins: options.plugins, backend: backend, progress: bar)
        }
        let compiled = clock.now
        let header = try EngineFile.write(
            engine, generation: source.generation, tokenizer: files, to: output, progress: bar)
        let seconds = [loaded - start, compiled - loaded, clock.now - compiled].map { $0 / .seconds(1) }
        bar?.finish()
        let listing = EngineListing(
            header, info: engine.info, precision: engine.precision, origin: engine.origin,
            kernels: engine.kernels)
        passes.report(checker)
        let verb = refit == nil ? "compiled" : "refitted"
        let standardOutput = ByteOutput.standardOutput
        try standardOutput.write(
            listing.summary(of: output) + listing.sections + listing.kernels + listing.attention)
        try standardOutput.line(
            "read in \(Figures.duration(seconds: seconds[0])), \(verb) in \(Figures.duration(seconds: seconds[1])), "
                + "written in \(Figures.duration(seconds: seconds[2])), peak memory "
                + Figures.bytes(ProcessMemory.peakBytes()))
        let parts = PhaseTimes.all.filter { ["compiling kernels", "timing products"].contains($0.name) }
        if !parts.isEmpty {
            try standardOutput.line(
                parts.map { "\($0.name) took \(Figures.duration(seconds: $0.end - $0.start))" }.joined(
                    separator: ", "))
        }
        try standardOutput.flush()
    }
}
