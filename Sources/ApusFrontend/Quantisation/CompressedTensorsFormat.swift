import ApusGraph
import ApusSupport

/// Checkpoints of llm-compressor and others that write compressed-tensors, with integer weights.
///
/// `pack-quantized`: `P.weight_packed`, `P.weight_shape`; `int-quantized`: `P.weight`; both with `P.weight_scale` and,
/// where asymmetric, `P.weight_zero_point`. Source: compressed_tensors/{quantization,compressors} of
/// compressed-tensors 0.20; `P.weight_g_idx` was last written by 0.18.
struct CompressedTensorsFormat: QuantizedFormat {
    private let groups: [CompressedTensorsGroup]
    private let ignored: [ModulePattern]

    /// Reads the keys of compressed-tensors.
    init(_ config: ConfigReader) throws(ApusError) {
        guard config.value("kv_cache_scheme") == nil else {
            throw config.error(
                "kv_cache_scheme", "a quantised KV cache is not supported; expected null", .unsupported)
        }
        let status = try config.string("quantization_status", default: "compressed")
        guard status == "compressed" || status == "frozen" else {
            throw config.error(
                "quantization_status", "expected \"compressed\", got \"\(status)\"", .unsupported)
        }
        let format = try config.optionalString("format") ?? ""
        let names = config.value("config_groups")?.members.map(\.key) ?? []
        guard let list = try config.object("config_groups") else {
            throw config.error("config_groups", "is missing; expected an object of at least one group")
        }
        var groups: [CompressedTensorsGroup] = []
        for name in names {
            guard list.value(name)?.kind == .object, let group = try list.object(name) else {
                throw list.error(
                    name, "expected an object; schemes that are named only are not supported", .unsupported)
            }
            groups.append(try CompressedTensorsGroup(group, format: format))
        }
        self.groups = groups
        ignored = try (config.optionalStrings("ignore") ?? []).map { text throws(ApusError) in
            try ModulePattern(text, config, "ignore")
        }
    }

    /// The group whose targets name a layer best: by its name, by a pattern, by its class, in this order.
    private func group(of module: LinearModule) -> CompressedTensorsGroup? {
        if ignored.contains(where: { $0.rank(of: module) != nil }) { return nil }
        var best: (rank: Int, group: CompressedTensorsGroup)?
        for group in groups {
            for target in group.targets {
                guard let rank = target.rank(of: module), best.map({ rank < $0.rank }) ?? true else {
                    continue
                }
                best = (rank, group)
            }
        }
        return best?.group
    }

    func scheme(of module: LinearModule) -> QuantizationScheme? { group(of: module)?.scheme }

    var codeTensors: [String] { ["weight_packed", "weight_scale"] }

    func tensors(
        of module: LinearModule, _ prefix: String, in checkpoint: Checkpoint
    ) throws(ApusError) -> QuantizedTensors {
        guard let group = group(of: module), let scheme = group.scheme else {
            throw ApusError(
                .mismatch, "is stored quantised, but no target of config_groups names it or 'ignore' does")
        }
        let names = (
            zeros: prefix + "weight_zero_point", index: prefix + "weight_g_idx",
            shape: prefix + "weight_shape"
        )
        func holds(_ name: String) -> Bool { checkpoint.storedType(of: name) != nil }
        var others: [String] = []
        if group.isPacked, holds(names.shape) {
            try checkShape(names.shape, module, checkpoint)
            others.append(names.shape)
        }
        var zeroPoints: (name: String, layout: QuantizedTensors.ZeroLayout)?
        if scheme.hasZeroPoints || holds(names.zeros) {
            // Early versions did not pack zero points, whatever they did with the codes.
            let isPacked = checkpoint.type(of: names.zeros)?.element == .i32
            zeroPoints = (names.zeros, isPacked ? .packedRows : .signedBytes)
        }
        return QuantizedTensors(
            bits: scheme.bits, groupSize: scheme.groupSize,
            codes: group.isPacked
                ? (prefix + "weight_packed", .packedRows) : (prefix + "weight", .signedBytes),
            scales: (prefix + "weight_scale", .rowsFirst), zeroPoints: zeroPoints,
            groupIndex: group.isActivationOrdered || holds(names.index) ? names.index : nil, others: others)
    }

    /// Compares the shape that is stored beside packed codes, since the codes' own does not tell K exactly.
    private func checkShape(
        _ name: String, _ module: LinearModule, _ checkpoint: Checkpoint
    ) throws(ApusError) {
        var shape: [Int] = []
        let element = checkpoint.type(of: name)?.element
        try checkpoint.withBytes(of: name) { bytes throws(ApusError) in
            switch element {
            case .i64:
                shape = stride(from: 0, to: bytes.count, by: 8).map {
                    Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int64.self)))
                }
            case .i32:
                shape = stride(from: 0, to: bytes.count, by: 4).map {
                    Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int32.self)))
                }
            default: break
            }
        }
        guard shape == [module.outputs, module.inputs] else {
            let stored = checkpoint.storedType(of: name) ?? ""
            throw ApusError(
                .mismatch,
                "'\(name)': expected I64 or I32 [2] of \([module.outputs, module.inputs]), got \(stored) of \(shape)"
            )
        }
    }

    var notes: [String] {
        guard groups.contains(where: \.roundsActivations) else { return [] }
        return [
            "config_groups: layers are made for activations rounded to 8 bits a row; Apus rounds at most 128 to a scale, "
                + "or none with exact activations"
        ]
    }
}

/// One group of `config_groups`: a scheme, and the layers it is for.
struct CompressedTensorsGroup: Sendable {
    /// The layers.
    let targets: [ModulePattern]
    /// The scheme; nil if the layers keep their weights.
    let scheme: QuantizationScheme?
    /// Whether codes are packed into words, else they are bytes.
    let isPacked: Bool
    /// Whether columns may be grouped out of order.
    let isActivationOrdered: Bool
    /// Whether the checkpoint asks for activations in 8 bits.
    let roundsActivations: Bool

    init(_ config: ConfigReader, format: String) throws(ApusError) {
        targets = try (config.optionalStrings("targets") ?? []).map { text throws(ApusError) in
            try ModulePattern(text, config, "targets")
        }
        let format = try config.optionalString("format") ?? format
        switch format {
        case "pack-quantized": isPacked = true
        case "int-quantized", "naive-quantized": isPacked = false
        default:
            throw config.error(
                "format", "expected \"pack-quantized\" or \"int-quantized\", got \"\(format)\"", .unsupported)
        }
        roundsActivations = try Self.readActivations(config)
        guard config.value("output_activations") == nil else {
            throw config.error("output_activations", "is not supported; expected null", .unsupported)
        }
        guard let weights = try config.object("weights") else {
            (scheme, isActivationOrdered) = (nil, false)
            try config.requireNothingElse { _, _ in false }
            return
        }
        let bits = try weights.bits([4, 8], key: "num_bits")
        try weights.require("type", "int", default: "int")
        guard try !weights.bool("dynamic", default: false), weights.value("block_structure") == nil else {
            throw weights.error(
                weights.value("block_structure") == nil ? "dynamic" : "block_structure",
                "weights of this kind are not supported", .unsupported)
        }
        let size =
            config.value("weights")?["group_size"]?.isNull == false
            ? try weights.groupSize("group_size") : nil
        let strategy = try weights.optionalString("strategy") ?? (size == nil ? "channel" : "group")
        guard strategy == "channel" && size == nil || strategy == "group" && size != nil else {
            throw weights.error(
                "strategy", "expected \"group\" with a group_size, or \"channel\", got \"\(strategy)\"",
                .unsupported)
        }
        let isSymmetric = try weights.bool("symmetric", default: true)
        scheme = QuantizationScheme(bits: bits, groupSize: size, hasZeroPoints: !isSymmetric)
        isActivationOrdered = try Self.readOrder(weights)
        try weights.requireNothingElse { key, _ in
            ["observer", "observer_kwargs", "scale_dtype", "zp_dtype"].contains(key)
        }
        try config.requireNothingElse { _, _ in false }
    }

    private static func readActivations(_ config: ConfigReader) throws(ApusError) -> Bool {
        guard let inputs = try config.object("input_activations") else { return false }
        let bits = try inputs.int("num_bits", default: 8)
        let type = try inputs.string("type", default: "int")
        let isDynamic = try inputs.bool("dynamic", default: false)
        guard bits == 8, type == "int", isDynamic else {
            throw config.error(
                "input_activations",
                "expected null or dynamic 8-bit integers, got \(isDynamic ? "dynamic" : "static") \(bits)-bit \(type)",
                .unsupported)
        }
        return true
    }

    private static func readOrder(_ weights: ConfigReader) throws(ApusError) -> Bool {
        guard let order = weights.value("actorder"), order.bool != false else { return false }
        switch order.string {
        // Columns are quantised in another order, but grouped as they stand.
        case "weight"?, "static"?: return false
        case "group"?, "dynamic"?: return true
        default:
            throw weights.error(
                "actorder",
                "expected null, \"weight\", \"static\", \"group\" or \"dynamic\", got "
                    + JSONValue(order).text())
        }
    }
}

extension ConfigReader {
    /// Refuses a string other than the one that is understood.
    fileprivate func require(_ key: String, _ value: String, default fallback: String) throws(ApusError) {
        let text = try string(key, default: fallback)
        guard text == value else { throw error(key, "expected \"\(value)\", got \"\(text)\"", .unsupported) }
    }
}
