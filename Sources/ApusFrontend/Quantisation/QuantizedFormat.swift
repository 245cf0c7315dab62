import ApusSupport

/// How the checkpoints of one tool are quantised, as their `quantization_config` describes it.
protocol QuantizedFormat: Sendable {
    /// What quantises a layer; nil for one that is left as it is.
    ///
    /// A checkpoint tells by its tensors which layers are quantised; this is for what the tensors do not tell, and for
    /// random weights.
    func scheme(of module: LinearModule) -> QuantizationScheme?

    /// The last parts of the names of tensors that only a quantised layer has, by which it is known, such as `qweight`.
    var codeTensors: [String] { get }

    /// The tensors of a layer that the checkpoint holds quantised.
    ///
    /// - Parameters:
    ///   - module: The layer.
    ///   - prefix: The module's name in the checkpoint, with a dot behind it.
    ///   - checkpoint: What the tensors are looked up in.
    /// - Throws: `.mismatch` or `.unsupported`, without naming the layer.
    func tensors(
        of module: LinearModule, _ prefix: String, in checkpoint: Checkpoint
    ) throws(ApusError) -> QuantizedTensors

    /// What a user should know of how such a checkpoint is computed.
    var notes: [String] { get }
}

extension QuantizedFormat {
    var notes: [String] { [] }
}

/// Reads the description of a checkpoint's quantisation, whichever tool wrote it.
package enum QuantizationConfig {
    /// The `quant_method`s that are understood.
    static let methods = ["awq", "bitsandbytes", "compressed-tensors", "gptq"]

    /// Files that older tools put beside `config.json` in place of its `quantization_config`, and what wrote them.
    package static let files = [
        (name: "quantize_config.json", method: "gptq"), (name: "quant_config.json", method: "awq"),
    ]

    /// Reads the object under `quantization_config`, or a file of its own.
    /// - Parameter method: The tool, where the object does not name it.
    /// - Throws: `.unsupported` for what is not understood, `.invalidInput` for what is malformed.
    static func read(_ config: ConfigReader, method: String? = nil) throws(ApusError) -> any QuantizedFormat {
        // bitsandbytes did not name itself at first.
        let older = config.has("load_in_8bit") || config.has("load_in_4bit") ? "bitsandbytes" : method
        let list = methods.map { "\"\($0)\"" }.joined(separator: ", ")
        guard let method = try config.optionalString("quant_method") ?? older else {
            throw config.error("quant_method", "is missing; expected one of \(list)")
        }
        let format: any QuantizedFormat
        switch method {
        case "awq": format = try AWQFormat(config)
        case "bitsandbytes": format = try BitsAndBytesFormat(config)
        case "compressed-tensors": format = try CompressedTensorsFormat(config)
        case "gptq": format = try GPTQFormat(config)
        default:
            throw config.error(
                "quant_method",
                "expected one of \(list), got \"\(method)\"; quantise the original model with "
                    + "'apus quantize', or run it as it is", .unsupported)
        }
        try config.requireNothingElse { key, value in
            key.hasPrefix("_") || harmless.contains(key) || whenOff[key]?(value) == true
        }
        return format
    }

    /// Reads the file of an older tool beside `config.json`; nil if there is none.
    static func read(beside folder: String) throws(ApusError) -> (any QuantizedFormat)? {
        for (name, method) in files where OutputFile.exists("\(folder)/\(name)") {
            return try read(
                try ConfigReader(try JSON.parse(contentsOfFile: "\(folder)/\(name)")), method: method)
        }
        return nil
    }

    /// The name that an older tool gave to the file of the weights, as its config beside `config.json` says; nil if it
    /// says nothing.
    static func weightsFile(in folder: String) -> String? {
        for (name, _) in files {
            guard let config = try? JSON.parse(contentsOfFile: "\(folder)/\(name)"),
                let base = config["model_file_base_name"]?.string, !base.isEmpty, !base.contains("/")
            else { continue }
            return base + ".safetensors"
        }
        return nil
    }

    /// Keys that tell how a checkpoint was made or how fast it might be run, not what its numbers are.
    private static let harmless: Set<String> = [
        "backend", "batch_size", "block_name_to_quantize", "cache_block_outputs", "damp_auto_increment",
        "damp_percent", "dataset", "device", "disable_exllama", "do_fuse", "exllama_config",
        "fuse_max_seq_len", "global_compression_ratio", "max_input_length", "meta", "mock_quantization",
        "model_file_base_name", "model_name_or_path", "model_seqlen", "module_name_preceding_first_block",
        "modules_in_block_to_quantize", "modules_to_fuse", "mse", "offload_to_disk", "offload_to_disk_path",
        "pack_impl", "pad_token_id", "quantizer", "run_compressed", "tokenizer", "true_sequential",
        "use_cuda_fp16", "use_exllama", "use_triton", "version", "act_group_aware", "static_groups",
    ]

    /// Keys that must have the value that turns them off.
    private static let whenOff: [String: @Sendable (JSON) -> Bool] = [
        "is_marlin_format": { $0.bool == false },
        // What else would be done to the weights or the activations.
        "adapter": { $0.count == 0 }, "rotation": { $0.string == "" }, "activation": { $0.string == "" },
        "transform_config": { $0.count == 0 }, "sparsity_config": isDense,
        "moe_sparsity_config": { $0.count == 0 },
    ]

    private static func isDense(_ value: JSON) -> Bool {
        value.count == 0 || value["format"]?.string == "dense"
    }
}
