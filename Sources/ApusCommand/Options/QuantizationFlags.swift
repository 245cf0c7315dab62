import Apus
import ArgumentParser

/// The value of `--precision` where weights are random: the type of plain weights, or codes of 4 bits.
enum WeightPrecision: ExpressibleByArgument, Equatable {
    case plain(Precision)
    case int4

    init?(argument: String) {
        if argument.uppercased() == "INT4" {
            self = .int4
        } else if let precision = Precision(argument: argument) {
            self = .plain(precision)
        } else {
            return nil
        }
    }

    static var allValueStrings: [String] { Precision.allCases.map(\.rawValue) + ["INT4"] }

    var defaultValueDescription: String { plain?.rawValue ?? "INT4" }

    /// The type of plain weights; nil for codes.
    var plain: Precision? { if case .plain(let precision) = self { precision } else { nil } }
}

/// How random weights are quantised with `--precision INT4`.
struct QuantizationFlags: ParsableArguments {
    /// What becomes of the output head.
    enum Head: String, CaseIterable, ExpressibleByArgument {
        case int8, int4, none
    }

    @Option(
        help: ArgumentHelp(
            "With --precision INT4: columns that share a scale (default: 128).", valueName: "n"))
    var groupSize: Int?

    @Option(
        help: ArgumentHelp(
            "With --precision INT4: the output head in 8 bits a row, as the layers, or as it is (default: int8).",
            valueName: "type"))
    var quantizeHead: Head?

    /// Refuses flags that do not go together.
    func check(_ precisions: [WeightPrecision], hasConfig: Bool) throws {
        if let groupSize, groupSize < 1 {
            throw ValidationError("--group-size: expected a count of at least 1, got \(groupSize).")
        }
        guard precisions.contains(.int4) else {
            guard groupSize == nil, quantizeHead == nil else {
                throw ValidationError("--group-size and --quantize-head go with --precision INT4.")
            }
            return
        }
        guard hasConfig else {
            throw ValidationError(
                "--precision INT4 goes with --config, for random weights; quantise a checkpoint with 'apus quantize'."
            )
        }
    }

    /// The request for codes of 4 bits.
    var request: QuantizationRequest {
        let layers = QuantizationScheme(bits: 4, groupSize: groupSize ?? 128)
        let head: QuantizationScheme? =
            switch quantizeHead ?? .int8 {
            case .int8: QuantizationScheme(bits: 8, groupSize: nil)
            case .int4: layers
            case .none: nil
            }
        return QuantizationRequest(layers: layers, head: head)
    }

    /// Imports a config with random weights.
    func importConfig(
        _ json: JSON, _ precision: WeightPrecision?, seed: UInt64
    ) throws(ApusError) -> ImportedModel {
        try Importer.importConfig(
            json, seed: seed, element: (precision?.plain ?? Precision(config: json)).element,
            quantization: precision == .int4 ? request : nil)
    }
}
