import ApusSupport

/// Checkpoints of bitsandbytes' LLM.int8: `P.weight` in 8 bits and `P.SCB`, the largest magnitude of each row.
///
/// Source: transformers integrations/bitsandbytes.py, bitsandbytes/nn/modules.py.
struct BitsAndBytesFormat: QuantizedFormat {
    private let skipped: [String]

    /// Reads the keys of bitsandbytes.
    init(_ config: ConfigReader) throws(ApusError) {
        let is8Bit = try config.bool("load_in_8bit", default: false)
        let is4Bit = try config.bool("load_in_4bit", default: false)
        guard is8Bit, !is4Bit else {
            throw config.error(
                "load_in_8bit",
                "expected true: of bitsandbytes only LLM.int8 is supported, not 4 bits (NF4, FP4); quantise the "
                    + "original model with 'apus quantize'", .unsupported)
        }
        skipped = try config.optionalStrings("llm_int8_skip_modules") ?? ["lm_head"]
        // How activations are treated where the original computes, and what concerns 4 bits alone.
        for key in [
            "llm_int8_threshold", "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight",
            "bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant",
            "bnb_4bit_quant_storage", "modules_to_not_convert",
        ] { _ = config.value(key) }
    }

    func scheme(of module: LinearModule) -> QuantizationScheme? {
        // Names stand for modules of that name or inside it, as in transformers.
        let parts = module.name.split(separator: ".").map(String.init)
        let isSkipped = skipped.contains {
            parts.contains($0) || module.name.hasPrefix($0 + ".") || module.name == $0
        }
        return isSkipped ? nil : QuantizationScheme(bits: 8, groupSize: nil)
    }

    var codeTensors: [String] { ["SCB"] }

    func tensors(
        of module: LinearModule, _ prefix: String, in checkpoint: Checkpoint
    ) throws(ApusError) -> QuantizedTensors {
        let layout = prefix + "weight_format"
        var hasLayout = false
        if checkpoint.storedType(of: layout) != nil {
            hasLayout = true
            var isRows = false
            try checkpoint.withBytes(of: layout) { isRows = $0.allSatisfy { $0 == 0 } }
            guard isRows else {
                throw ApusError(
                    .unsupported, "'\(layout)': expected 0 (row-major), got a layout of one GPU's kernels")
            }
        }
        return QuantizedTensors(
            bits: 8, groupSize: nil, codes: (prefix + "weight", .signedBytes),
            scales: (prefix + "SCB", .rowMaxima), others: hasLayout ? [layout] : [])
    }

    var notes: [String] {
        [
            "LLM.int8: activations are rounded to 8 bits, at most 128 to a scale, or kept with exact activations; the "
                + "original rounds whole rows, but for outliers"
        ]
    }
}
