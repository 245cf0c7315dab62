import ApusSupport

/// Checkpoints of AutoAWQ in its `gemm` form: `P.qweight`, `P.qzeros` and `P.scales`.
///
/// Source: awq/modules/linear/gemm.py and awq/utils/packing_utils.py of AutoAWQ 0.2.9.
struct AWQFormat: QuantizedFormat {
    private let groupSize: Int?
    private let hasZeroPoints: Bool
    private let skipped: [String]
    private let includesHead: Bool

    /// Reads the keys of AWQ; those of files of its first versions have other names.
    init(_ config: ConfigReader) throws(ApusError) {
        _ = try config.bits([4], key: config.has("w_bit") ? "w_bit" : "bits")
        groupSize = try config.groupSize(config.has("q_group_size") ? "q_group_size" : "group_size")
        hasZeroPoints = try config.bool("zero_point", default: true)
        skipped = try config.optionalStrings("modules_to_not_convert") ?? []
        includesHead = try config.bool("lm_head", default: false)
        for key in ["version", "format", "checkpoint_format"] {
            let form = try config.optionalString(key) ?? "gemm"
            guard form.lowercased() == "gemm" else {
                throw config.error(key, "expected \"gemm\", got \"\(form)\"", .unsupported)
            }
        }
        guard try !config.bool("desc_act", default: false) else {
            throw config.error("desc_act", "AWQ has no order of activations; expected false", .unsupported)
        }
        // transformers writes GPTQ's key beside zero_point, which is the one that counts.
        _ = try config.bool("sym", default: true)
        try config.requireWordsOf32Bits()
        _ = config.value("method")
    }

    func scheme(of module: LinearModule) -> QuantizationScheme? {
        if module.name == "lm_head", !includesHead { return nil }
        // Names stand for every module that has them as a part, as in AutoAWQ.
        if skipped.contains(where: module.name.contains) { return nil }
        return QuantizationScheme(bits: 4, groupSize: groupSize, hasZeroPoints: hasZeroPoints)
    }

    var codeTensors: [String] { ["qweight", "qzeros", "scales"] }

    func tensors(
        of module: LinearModule, _ prefix: String, in checkpoint: Checkpoint
    ) throws(ApusError) -> QuantizedTensors {
        guard module.outputs % 8 == 0, module.inputs % 8 == 0 else {
            throw ApusError(
                .unsupported,
                "AWQ packs 8 codes a word; expected multiples of 8 rows and columns, got \(module.outputs) and "
                    + "\(module.inputs)")
        }
        // Tools that quantise symmetrically may store the middle as zero points all the same.
        let zeros = prefix + "qzeros"
        let hasZeros = hasZeroPoints || checkpoint.storedType(of: zeros) != nil
        return QuantizedTensors(
            bits: 4, groupSize: groupSize, codes: (prefix + "qweight", .interleavedRows),
            scales: (prefix + "scales", .groupsFirst), zeroPoints: hasZeros ? (zeros, .interleavedRows) : nil)
    }
}
