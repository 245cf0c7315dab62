import Apus
import ArgumentParser

/// `apus quantize`: a copy of a checkpoint with weights of few bits.
struct QuantizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Write a copy of a checkpoint with weights of 4 or 8 bits.",
        discussion: """
            Weights of linear layers become codes with a scale for each group of inputs (int4) or for each output \
            feature (int8); embeddings, norms and biases stay. The folder has the layout pack-quantized of \
            compressed-tensors, which transformers and vLLM read as well; all other files are copied.

            With --calibration the model first runs on that text, and factors by which its strong channels are rounded \
            more finely are searched and folded into the weights before them (AWQ). The text should be like what the \
            model will read; some ten thousand tokens are enough. 'apus eval --compare' tells what was lost.

              apus quantize --model FOLDER --output FOLDER-int4 --format int4 --group-size 128
              apus quantize --model FOLDER --output FOLDER-int4 --format int4 --calibration text.txt
              apus eval --model FOLDER --compare FOLDER-int4 --text other.txt
            """)

    /// The value of `--format`.
    enum Format: String, CaseIterable, ExpressibleByArgument {
        case int4, int8
    }

    /// The value of `--quantize-head`.
    enum HeadFormat: String, CaseIterable, ExpressibleByArgument {
        case int8, int4, none
    }

    @Option(help: ArgumentHelp("Folder with config.json and *.safetensors.", valueName: "folder"))
    var model: String

    @Option(help: ArgumentHelp("Folder to write; must be empty, or not there.", valueName: "folder"))
    var output: String

    @Option(help: ArgumentHelp("Type of the weights.", valueName: "type"))
    var format = Format.int4

    @Option(
        name: [.customLong("group-size"), .customLong("group_size")],
        help: ArgumentHelp(
            "Inputs that share a scale in int4: 128, 64 or 32 (default: 128).", valueName: "n"))
    var groupSize: Int?

    @Flag(
        name: [.customLong("fit-groups"), .customLong("fit_groups")],
        help:
            "Give weights whose inputs are no multiple of the group size the largest group that divides them."
    )
    var fitsGroups = false

    @Flag(
        name: [.customLong("zero-points"), .customLong("zero_points")],
        help: "Let each group of int4 choose its zero (asymmetric) instead of the middle code.")
    var hasZeroPoints = false

    @Option(
        name: [.customLong("quantize-head"), .customLong("quantize_head")],
        help: ArgumentHelp(
            "Type of the output head; a tied one becomes its own, none leaves it as it is.",
            valueName: "type"))
    var head = HeadFormat.int8

    @Option(help: ArgumentHelp("Text to choose factors by (AWQ), UTF-8.", valueName: "file"))
    var calibration: String?

    @Option(
        name: [.customLong("calibration-windows"), .customLong("calibration_windows")],
        help: ArgumentHelp("Windows of 512 tokens to run, spread over the text.", valueName: "n"))
    var calibrationWindows = 128

    @Option(help: ArgumentHelp("Threads that compute (default: one for each physical core).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print one JSON object and nothing else.")
    var json = false

    mutating func validate() throws {
        try Counts.checkThreads(threads)
        try Counts.check(calibrationWindows, "--calibration-windows")
        if let groupSize, !WeightFormat.groupSizes.contains(groupSize) {
            throw ValidationError("--group-size: expected 128, 64 or 32, got \(groupSize).")
        }
        if format == .int8 {
            guard groupSize == nil, !hasZeroPoints, !fitsGroups else {
                throw ValidationError(
                    "--format int8 has one scale for each output feature; leave out --group-size, --fit-groups and "
                        + "--zero-points.")
            }
            guard calibration == nil else {
                throw ValidationError("--calibration is for --format int4; int8 rounds finely enough.")
            }
        }
    }

    /// What the flags ask for.
    var recipe: QuantizationRecipe {
        let int4 = WeightFormat.int4(groupSize: groupSize ?? 128, isSymmetric: !hasZeroPoints)
        let head: WeightFormat? =
            switch head {
            case .int8: .int8
            case .int4: int4
            case .none: nil
            }
        return QuantizationRecipe(
            format: format == .int4 ? int4 : .int8, head: head, fitsGroups: fitsGroups,
            calibrationWindows: calibrationWindows)
    }

    func run() throws {
        let text = try calibration.map { path throws(ApusError) in try WholeFile.bytes(path: path) }
        let bar = ProgressBar.onTerminal()
        defer { bar?.finish() }
        let clock = ContinuousClock.now
        let report = try Quantizer.quantize(
            folder: model, output: output, recipe: recipe, calibration: text, threads: threads, progress: bar)
        bar?.finish()
        let listing = QuantizationListing(
            report, output: output, seconds: (ContinuousClock.now - clock) / .seconds(1))
        try ByteOutput.standardOutput.write(json ? listing.json.text() + "\n" : listing.text)
        try ByteOutput.standardOutput.flush()
    }
}
