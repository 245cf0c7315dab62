import Apus
import ArgumentParser

/// `apus inspect`: what a model is turned into, as text.
struct InspectCommand: ParsableCommand {
    /// A station on the way from a checkpoint to an engine.
    enum Stage: String, CaseIterable, ExpressibleByArgument {
        case imported, lowered, engine
    }

    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Print the graph or the plan of a model.",
        discussion: """
            imported: the graph as the family computes it, at the level of PyTorch's ATen operators. lowered: the \
            graph after all passes, with fused operators and a KV cache. engine: the plan, that is every step with \
            its kernel, every buffer and the bytes. An engine prints its sections, each checked, and its plan.

              apus inspect --model FOLDER --stage lowered
              apus inspect --model model.apus
            """)

    @Option(help: ArgumentHelp("Folder of the model, or an engine.", valueName: "path"))
    var model: String?

    @Option(
        help: ArgumentHelp("A config.json in place of a folder: shapes without weights.", valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Which text to print (default: lowered; of an engine: engine).", valueName: "stage"))
    var stage: Stage?

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: Precision?

    mutating func validate() throws {
        guard (model == nil) != (config == nil) else {
            throw ValidationError("Give either --model or --config.")
        }
    }

    func run() throws {
        if let model, OutputFile.exists(model), !OutputFile.isFolder(model) {
            return try inspectEngine(model)
        }
        let imported = try importModel()
        let stage = stage ?? .lowered
        let output = ByteOutput.standardOutput
        if stage == .imported {
            try output.write(imported.graph.text())
        } else {
            let options = CompileOptions(precision: precision?.element)
            let lowered = try Compiler.lower(imported.graph, info: imported.info, options: options)
            if stage == .lowered {
                try output.write(lowered.graph.text())
            } else {
                let plan = try Compiler.dryRun(lowered, backend: CPUBackend())
                try output.write(PlanListing(plan, info: imported.info, precision: lowered.precision).text)
            }
        }
        try output.flush()
    }

    private func inspectEngine(_ path: String) throws {
        let options = LoadOptions(precision: precision?.element)
        guard case .engine(let file) = try ModelSource(path: path, options: options).content else { return }
        guard stage == nil || stage == .engine else {
            throw ApusError(
                .unsupported,
                "--stage: \(path) is an engine, which holds a plan and no graph; give the model's folder")
        }
        try file.verify()
        let manifest = file.manifest
        let listing = EngineListing(
            file.header, info: manifest.info, precision: manifest.precision, origin: manifest.origin)
        let output = ByteOutput.standardOutput
        try output.write(listing.summary(of: path) + "written by apus \(manifest.apusVersion)\n")
        try output.write(listing.sections + listing.attention)
        let backend = try CPUBackend()
        if file.header.device == backend.name, file.header.weightLayout == backend.weightLayout {
            let plan = try file.blueprint(for: backend).plan
            try output.write(PlanListing(plan, info: manifest.info, precision: manifest.precision).text)
        } else {
            try output.line("plan: not shown, since it is for another device than \(backend.name)")
        }
        try output.flush()
    }

    private func importModel() throws(ApusError) -> ImportedModel {
        if let model { return try Importer.importCheckpoint(folder: model) }
        let path = config ?? ""
        let json = try JSON.parse(contentsOfFile: path)
        return try Importer.importConfig(json, element: (precision ?? Precision(config: json)).element)
    }
}
