import Apus

/// What `apus quantize` did, as text and as JSON.
struct QuantizationListing {
    private let report: QuantizationReport
    private let output: String
    private let seconds: Double

    /// Lists a report.
    init(_ report: QuantizationReport, output: String, seconds: Double) {
        self.report = report
        self.output = output
        self.seconds = seconds
    }

    /// A table of the layers and a line of figures.
    var text: String {
        let isCalibrated = report.calibrationTokens > 0
        var columns = [
            MarkdownTable.Column(title: "layer", isNumber: false),
            MarkdownTable.Column(title: "format", isNumber: false),
            MarkdownTable.Column(title: "weight error", isNumber: true),
        ]
        if isCalibrated {
            columns += ["output error before", "after", "alpha"].map {
                MarkdownTable.Column(title: $0, isNumber: true)
            }
        }
        var table = MarkdownTable(columns)
        for layer in report.layers {
            var cells: [String?] = [layer.name, Self.name(layer.format), Self.percent(layer.weightError)]
            if isCalibrated {
                cells += [
                    Self.percent(layer.plainOutputError), Self.percent(layer.outputError),
                    layer.alpha.map { Figures.decimal($0, 2) },
                ]
            }
            table.append(cells)
        }
        let note =
            "errors are root mean squares, in per cent of what they are errors of"
            + (isCalibrated ? "; before and after factors, on \(report.calibrationTokens) tokens" : "")
        let files = report.fileCount == 1 ? "one file" : "\(report.fileCount) files"
        return table.text + note
            + "\n\(output): \(Figures.bytes(report.byteCount)) of weights in \(files), from "
            + "\(Figures.bytes(report.sourceBytes)), in \(Figures.duration(seconds: seconds))\n"
    }

    private static func name(_ format: WeightFormat) -> String {
        let group = format.groupSize.map { ", groups of \($0)" } ?? ", per channel"
        return "int\(format.bits)\(group)\(format.isSymmetric ? "" : ", zero points")"
    }

    private static func percent(_ squares: Double?) -> String? {
        squares.map { Figures.decimal($0.squareRoot() * 100, 2) }
    }

    /// The object of `--json`.
    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        let layers = report.layers.map { layer in
            JSONValue.object([
                ("name", .string(layer.name)), ("bits", .int(layer.format.bits)),
                ("group_size", layer.format.groupSize.map { .int($0) } ?? .null),
                ("symmetric", .bool(layer.format.isSymmetric)),
                ("weight_error", number(layer.weightError.squareRoot())),
                ("output_error_before", number(layer.plainOutputError?.squareRoot())),
                ("output_error_after", number(layer.outputError?.squareRoot())),
                ("alpha", number(layer.alpha)),
            ])
        }
        return .object([
            ("output", .string(output)), ("bytes", .int(report.byteCount)),
            ("source_bytes", .int(report.sourceBytes)), ("files", .int(report.fileCount)),
            ("calibration_tokens", .int(report.calibrationTokens)), ("seconds", .double(seconds)),
            ("layers", .array(layers)),
        ])
    }
}
