import ApusSupport

/// Checkpoints of AutoGPTQ, GPTQModel and optimum: `P.qweight`, `P.qzeros`, `P.scales` and `P.g_idx`.
///
/// Source: auto_gptq/nn_modules/qlinear/qlinear_cuda.py of AutoGPTQ 0.7, gptqmodel/nn_modules/qlinear of GPTQModel 7.7.
struct GPTQFormat: QuantizedFormat {
    private let bits: Int
    private let groupSize: Int?
    private let isSymmetric: Bool
    /// Whether columns are grouped in the order of their activations, so that a group's columns lie scattered.
    private let isActivationOrdered: Bool
    /// Whether zero points are stored less one.
    private let isVersion1: Bool
    private let includesHead: Bool

    /// Reads the keys of GPTQ.
    init(_ config: ConfigReader) throws(ApusError) {
        bits = try config.bits([4, 8])
        groupSize = try config.groupSize("group_size")
        isSymmetric = try config.bool("sym", default: true)
        isActivationOrdered = try config.bool("desc_act", default: false)
        includesHead = try config.bool("lm_head", default: false)
        let older = try config.optionalString("checkpoint_format")
        let form = try config.optionalString("format") ?? older ?? "gptq"
        guard form == "gptq" || form == "gptq_v2", older == nil || older == form else {
            throw config.error(
                older == nil ? "format" : "checkpoint_format",
                "expected \"gptq\" or \"gptq_v2\", got \"\(older ?? form)\"", .unsupported)
        }
        isVersion1 = form == "gptq"
        try config.requireWordsOf32Bits()
        // Rules for single layers: those that leave one out show in the tensors.
        for (rule, _) in config.value("dynamic")?.members.map({ ($0.key, $0.value) }) ?? []
        where !rule.hasPrefix("-:") {
            throw config.error(
                "dynamic", "rule '\(rule)' gives some layers a scheme of their own, which is not supported",
                .unsupported)
        }
        _ = config.value("method")
    }

    func scheme(of module: LinearModule) -> QuantizationScheme? {
        if module.name == "lm_head", !includesHead { return nil }
        return QuantizationScheme(bits: bits, groupSize: groupSize, hasZeroPoints: !isSymmetric)
    }

    var codeTensors: [String] { ["qweight", "qzeros", "scales"] }

    func tensors(
        of module: LinearModule, _ prefix: String, in checkpoint: Checkpoint
    ) throws(ApusError) -> QuantizedTensors {
        // Without act-order the groups are of consecutive columns, and old files may leave the index out.
        let index = prefix + "g_idx"
        let hasIndex = isActivationOrdered || checkpoint.storedType(of: index) != nil
        return QuantizedTensors(
            bits: bits, groupSize: groupSize, codes: (prefix + "qweight", .wordsOfColumns),
            scales: (prefix + "scales", .groupsFirst),
            zeroPoints: (prefix + "qzeros", .wordsOfRows(lessOne: isVersion1)),
            groupIndex: hasIndex ? index : nil)
    }
}

extension ConfigReader {
    /// The number of bits of a code.
    func bits(_ allowed: [Int], key: String = "bits") throws(ApusError) -> Int {
        guard let bits = try optionalInt(key, in: 0...64) else {
            throw error(key, "is missing; expected \(allowed.list)")
        }
        guard allowed.contains(bits) else {
            throw error(key, "expected \(allowed.list), got \(bits)", .unsupported)
        }
        return bits
    }

    /// The columns of a group; nil for −1, which is one group a row.
    func groupSize(_ key: String) throws(ApusError) -> Int? {
        guard let size = try optionalInt(key, in: -1...1 << 24), size != 0 else {
            throw error(key, "expected a number of columns, or -1 for whole rows")
        }
        return size == -1 ? nil : size
    }

    /// Refuses codes that are packed into words of another size.
    func requireWordsOf32Bits() throws(ApusError) {
        let type = try string("pack_dtype", default: "int32")
        guard type == "int32" || type == "torch.int32" else {
            throw error("pack_dtype", "expected \"int32\", got \"\(type)\"", .unsupported)
        }
    }
}

extension [Int] {
    /// The numbers as a message lists them: `4 or 8`.
    fileprivate var list: String { map(String.init).joined(separator: " or ") }
}
