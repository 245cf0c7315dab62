import ApusFrontend
import ApusGraph
import ApusSupport

/// The folder of a quantised model: its files beside the weights, and its config.
struct QuantizedFolder {
    let source: String
    let output: String
    private let config: JSON

    /// Looks at both folders before anything is written.
    /// - Throws: `.notFound` without a config, `.unsupported` for a model that is quantised already, `.invalidInput` for
    ///   an output folder that is not empty.
    init(source: String, output: String) throws(ApusError) {
        guard OutputFile.isFolder(source) else {
            throw ApusError(
                .notFound,
                "\(source): expected the folder of a checkpoint, got \(OutputFile.exists(source) ? "a file" : "nothing")"
            )
        }
        if OutputFile.exists(output), !OutputFile.isFolder(output) || !Folder.names(in: output).isEmpty {
            throw ApusError(.invalidInput, "\(output): expected no or an empty folder; name another")
        }
        config = try JSON.parse(contentsOfFile: "\(source)/config.json")
        let existing = config["quantization_config"].flatMap { $0.isNull ? nil : $0 }
        let beside = QuantizationConfig.files.first { OutputFile.exists("\(source)/\($0.name)") }
        if existing != nil || beside != nil {
            let method = existing?["quant_method"]?.string ?? beside?.method ?? "some method"
            throw ApusError(
                .unsupported,
                "\(source): is quantised already (\(method)); quantise the checkpoint that it was made from")
        }
        (self.source, self.output) = (source, output)
    }

    /// Copies all files but weights and config.
    func copyFiles() throws(ApusError) {
        try OutputFile.makeFolder(output)
        for name in Folder.names(in: source) {
            let path = "\(source)/\(name)"
            let isWeight = [
                ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".gguf", ".pt", ".pth",
            ]
            .contains { name.hasSuffix($0) }
            guard !isWeight, name != "config.json", !name.hasPrefix("."), !OutputFile.isFolder(path) else {
                continue
            }
            let file = try OutputFile(path: "\(output)/\(name)")
            try MappedFile(path: path).withBytes { bytes throws(ApusError) in try file.write(bytes) }
            try file.finish()
        }
    }

    /// Writes the config with how the weights are stored.
    func writeConfig(_ modules: [(module: LinearLayer, format: WeightFormat?)]) throws(ApusError) {
        var members = config.members.filter { $0.key != "quantization_config" }
            .map { ($0.key, JSONValue($0.value)) }
        if modules.contains(where: { $0.module.isTied && $0.format != nil }) {
            members.removeAll { $0.0 == "tie_word_embeddings" }
            members.append(("tie_word_embeddings", false))
        }
        members.append(("quantization_config", Self.quantization(modules)))
        try write(JSONValue.object(members).text(pretty: true) + "\n", "config.json")
    }

    /// Writes text to a file of the folder.
    func write(_ text: String, _ name: String) throws(ApusError) {
        let file = try OutputFile(path: "\(output)/\(name)")
        try file.write(text)
        try file.finish()
    }

    /// One group for what most linear layers have, and one for each other format, which names its layers.
    private static func quantization(
        _ modules: [(module: LinearLayer, format: WeightFormat?)]
    ) -> JSONValue {
        var formats: [WeightFormat] = []
        for case let format? in modules.map(\.format) where !formats.contains(format) {
            formats.append(format)
        }
        func names(_ format: WeightFormat?) -> [JSONValue] {
            modules.filter { $0.format == format }.map { .string($0.module.name) }
        }
        // A layer's name counts for more than its class, so that the class stands for all that are not named.
        let common = formats.enumerated().max {
            (names($0.element).count, -$0.offset) < (names($1.element).count, -$1.offset)
        }?.element
        let ordered = formats.filter { $0 == common } + formats.filter { $0 != common }
        let groups = ordered.enumerated().map { index, format in
            (
                "group_\(index)",
                JSONValue.object([
                    ("targets", .array(format == common ? ["Linear"] : names(format))),
                    ("weights", weights(format)), ("input_activations", .null), ("output_activations", .null),
                    ("format", "pack-quantized"),
                ])
            )
        }
        return .object([
            ("quant_method", "compressed-tensors"), ("format", "pack-quantized"),
            ("quantization_status", "compressed"), ("config_groups", .object(groups)),
            ("ignore", .array(names(nil))), ("kv_cache_scheme", .null),
            ("global_compression_ratio", .null),
        ])
    }

    private static func weights(_ format: WeightFormat) -> JSONValue {
        .object([
            ("num_bits", .int(format.bits)), ("type", "int"), ("symmetric", .bool(format.isSymmetric)),
            ("strategy", format.groupSize == nil ? "channel" : "group"),
            ("group_size", format.groupSize.map { .int($0) } ?? .null), ("dynamic", false),
            ("actorder", .null), ("observer", "minmax"), ("observer_kwargs", .object([])),
        ])
    }
}
