import Apus
import ArgumentParser

/// `apus synth`: a checkpoint with random weights.
struct SynthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synth",
        abstract: "Write a checkpoint with random weights.",
        discussion: """
            Makes a folder that every other command takes as a model, of any shape that config.json describes, so \
            that real sizes can be measured where no weights can be had. The same seed gives the same bytes. \
            Without --tokenizer the folder gets one whose tokens are the 256 bytes.

              apus synth --config config.json --precision fp16 --output random-model
            """)

    @Option(help: ArgumentHelp("The model's config.json.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Seed of the weights.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(
        name: [.customLong("precision"), .customLong("model-precision"), .customLong("model_precision")],
        help: ArgumentHelp("Type of the weights (default: the config's).", valueName: "type"))
    var precision: Precision?

    @Option(help: ArgumentHelp("Folder to write; made if it does not exist.", valueName: "folder"))
    var output: String

    @Option(help: ArgumentHelp("Folder whose tokenizer files are copied.", valueName: "folder"))
    var tokenizer: String?

    @Flag(help: "Write into a folder that is not empty, replacing files of the same names.")
    var force = false

    func run() throws {
        if !force, OutputFile.exists(output), !Folder.names(in: output).isEmpty {
            throw ApusError(
                .invalidInput, "--output \(output): the folder is not empty; name another, or add --force")
        }
        let json = try JSON.parse(contentsOfFile: config)
        let element = (precision ?? Precision(config: json)).element
        let model = try Importer.importConfig(json, seed: seed, element: element)
        let copied = try tokenizer.map { folder throws(ApusError) in try TokenizerFiles(folder: folder) }
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        try Importer.synthesize(config: json, seed: seed, precision: element, output: output) {
            written, total in
            bar?.progress("Writing weights", completed: written, total: total)
        }
        if let copied {
            try copied.copy(to: output)
        } else {
            try TokenizerFiles.writeByteLevel(to: output, vocabularySize: model.info.vocabularySize)
        }
    }
}
