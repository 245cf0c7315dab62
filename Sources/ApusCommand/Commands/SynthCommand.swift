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
        throw ApusError(.internal, "not wired yet")
    }
}
