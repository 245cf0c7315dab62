import Apus
import ArgumentParser

/// `apus inspect`: what a model is turned into, as text or as a picture.
struct InspectCommand: ParsableCommand {
    /// A station on the way from a checkpoint to an engine.
    enum Stage: String, CaseIterable, ExpressibleByArgument {
        case imported, lowered, engine
    }

    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print the graph or the plan of a model, pass by pass if wanted.",
        discussion: """
            imported: the graph as the family computes it, at the level of PyTorch's ATen operators. lowered: the \
            graph after all passes, with fused operators and a KV cache. engine: the plan, that is every step with \
            its kernel, every buffer and the bytes. An engine prints its sections, each checked, and its plan.

              apus inspect --model FOLDER --stage lowered
              apus inspect --model FOLDER --attention
              apus inspect --model FOLDER --svg model.svg
              apus inspect --graph file.ir --passes constant-fold,fuse-rms-norm
              apus inspect --model model.apus
            """)

    @Option(help: ArgumentHelp("Folder of the model, exported program, or engine.", valueName: "path"))
    var model: String?

    @Option(
        help: ArgumentHelp("A config.json in place of a folder: shapes without weights.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("A graph in text form in place of a model.", valueName: "file"))
    var graph: String?

    @Option(
        help: ArgumentHelp(
            "Which text to print (default: lowered; of an engine: engine; of a graph, what it became).",
            valueName: "stage"))
    var stage: Stage?

    @Option(
        help: ArgumentHelp(
            "Run these passes, in this order, instead of the whole pipeline; 'list' names them.",
            valueName: "names"))
    var passes: CommaList<String>?

    @Flag(help: "Print one line for each attention layer: kernel, mask, and if it is not the fast one, why.")
    var attention = false

    @Flag(help: "Print what would be built: operators, kernels, buffers, memory.")
    var dryRun = false

    @Option(help: ArgumentHelp("Draw the graph of the stage into this file.", valueName: "file"))
    var svg: String?

    @OptionGroup var passFlags: PassFlags

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: WeightPrecision?

    @OptionGroup
    var quantization: QuantizationFlags

    @OptionGroup
    var backends: BackendFlags

    mutating func validate() throws {
        try quantization.check(precision.map { [$0] } ?? [], hasConfig: config != nil)
        guard try backends.variant().backend != .reference || stage == .imported else {
            throw ValidationError("--backend reference runs the graph as imported: add --stage imported.")
        }
        let sources = [model, config, graph].compactMap { $0 }.count
        let isListing = passes?.values == ["list"]
        guard sources == 1 || (sources == 0 && isListing) else {
            throw ValidationError("Give one of --model, --config and --graph.")
        }
        guard passes == nil || stage == nil else {
            throw ValidationError("--passes runs passes of its own choice: leave out --stage.")
        }
        guard graph == nil || (stage == nil && !dryRun) else {
            throw ValidationError(
                "--stage and --dry-run are of a model: with --graph, name passes with --passes.")
        }
    }

    func run() throws {
        if let model, EngineFile.isEngine(path: model) {
            return try inspectEngine(model)
        }
        let output = ByteOutput.standardOutput
        if passes?.values == ["list"] {
            for name in Pipeline.all.keys.sorted() { try output.line(name) }
            return try output.flush()
        }
        let inspection = try Inspection(self, backends.variant())
        Warnings.tell(inspection.notes)
        if attention {
            try output.write(AttentionTable(inspection.attention).text)
        } else if dryRun {
            try output.write(try DryRunReport(inspection).text)
        } else if let svg {
            try inspection.drawing.write(to: svg)
            try ByteOutput.standardError.line("wrote \(svg)")
        } else {
            try output.write(try inspection.text(of: stage))
        }
        try output.flush()
        passFlags.report(inspection.checker)
    }

    private func inspectEngine(_ path: String) throws {
        let options = LoadOptions(precision: precision?.plain?.element)
        guard case .engine(let file) = try ModelSource(path: path, options: options).content else { return }
        guard stage == nil || stage == .engine else {
            throw ApusError(
                .unsupported,
                "--stage: \(path) is an engine, which holds a plan and no graph; give the model's folder")
        }
        try file.verify()
        let manifest = file.manifest
        let listing = EngineListing(
            file.header, info: manifest.info, precision: manifest.precision, origin: manifest.origin,
            kernels: try file.kernels())
        let output = ByteOutput.standardOutput
        try output.write(listing.summary(of: path) + "written by apus \(manifest.apusVersion)\n")
        try output.write(listing.sections + listing.kernels + listing.attention)
        let device = try Device(file.header.device)
        let backend = try device.makeCompilingBackend(architectures: [.hopper])
        if file.header.device == backend.name, file.header.weightLayout == backend.weightLayout {
            let plan = try file.blueprint(for: backend).plan
            try output.write(PlanListing(plan, info: manifest.info, precision: manifest.precision).text)
            try output.write(PlanListing.launches(try backend.launches(of: plan, .standard)))
        } else {
            try output.line("plan: not shown, since it is for another device than \(backend.name)")
        }
        try output.flush()
    }
}
