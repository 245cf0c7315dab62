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
            its kernel, every buffer and the bytes.

              apus inspect --model FOLDER --stage lowered
            """)

    @Option(help: ArgumentHelp("Folder of the model.", valueName: "folder"))
    var model: String?

    @Option(
        help: ArgumentHelp("A config.json in place of a folder: shapes without weights.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Which text to print.", valueName: "stage"))
    var stage = Stage.lowered

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the checkpoint's).", valueName: "type"))
    var precision: Precision?

    @OptionGroup
    var backends: BackendFlags

    mutating func validate() throws {
        guard try backends.variant().backend != .reference || stage == .imported else {
            throw ValidationError("--backend reference runs the graph as imported: add --stage imported.")
        }
        guard (model == nil) != (config == nil) else {
            throw ValidationError("Give either --model or --config.")
        }
    }

    func run() throws {
        let imported = try importModel()
        let output = ByteOutput.standardOutput
        if stage == .imported {
            try output.write(imported.graph.text())
        } else {
            let variant = try backends.variant()
            let options = CompileOptions(
                precision: precision?.element, backend: variant.backend, cache: variant.cache,
                aliasKVCache: variant.isAliased)
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

    private func importModel() throws(ApusError) -> ImportedModel {
        if let model { return try ModelLoader.importModel(model) }
        let path = config ?? ""
        let json = try JSON.parse(contentsOfFile: path)
        return try Importer.importConfig(json, element: (precision ?? Precision(config: json)).element)
    }
}
