public import ApusGraph
public import ApusSupport

extension Importer {
    /// Writes a checkpoint with random weights: both config files and safetensors.
    ///
    /// Weights go to one file or, beyond `shardBytes`, to shards with an index; at most 8 MB of them are held at
    /// a time.
    /// - Throws: What reading the config throws, and `.io` naming the file that cannot be written.
    /// - Parameters:
    ///   - config: The parsed `config.json` of any supported model.
    ///   - output: The folder, made if it is not there; files of the same names are replaced.
    ///   - progress: Called with the bytes of weights written so far and their number in all.
    public static func synthesize(
        config: JSON, seed: UInt64 = 0, precision: ElementType, output: String,
        shardBytes: Int = 4_000_000_000, families: FamilyRegistry = .standard,
        progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(ApusError) {
        let model = try importConfig(config, seed: seed, element: precision, families: families)
        guard !model.graph.nodes.contains(where: { $0.op == "dequantize" }) else {
            throw ApusError(
                .unsupported,
                "quantization_config: random checkpoints are written with plain weights; remove it, and quantise the "
                    + "result with 'apus quantize'")
        }
        let names = model.graph.parameters.map(\.name)
        let shapes = Dictionary(
            uniqueKeysWithValues: model.graph.parameters.map { ($0.name, $0.type.constantShape ?? []) })
        let weights = try RandomWeights(shapes: shapes, seed: seed, element: precision)
        try OutputFile.makeFolder(output)
        try writeText(configText(config, precision), "\(output)/config.json")
        try writeText(generationText(model.generation), "\(output)/generation_config.json")

        func bytes(_ name: String) -> Int { (shapes[name] ?? []).reduce(precision.byteCount, *) }
        let shards = Shards.cut(names, limit: shardBytes, bytes)
        let total = names.reduce(0) { $0 + bytes($1) }
        // A loader takes the single file first, so that one of an earlier run must not stay.
        try OutputFile.remove("\(output)/model.safetensors")
        try OutputFile.remove("\(output)/model.safetensors.index.json")
        var map: [(String, JSONValue)] = []
        var written = 0
        for (number, shard) in shards.enumerated() {
            let file = Shards.name(number, of: shards.count)
            map += shard.map { ($0, .string(file)) }
            let tensors = shard.compactMap { name in weights.type(of: name).map { (name, $0) } }
            let writer = try SafetensorsWriter(path: "\(output)/\(file)", tensors: tensors)
            for name in shard {
                try stream(weights, name, shapes[name] ?? []) { chunk throws(ApusError) in
                    try writer.write(chunk)
                    written += chunk.count
                    progress(written, total)
                }
            }
            try writer.finish()
        }
        if shards.count > 1 {
            let index = JSONValue.object([
                ("metadata", .object([("total_size", .int(total))])), ("weight_map", .object(map)),
            ])
            try writeText(index.text(pretty: true) + "\n", "\(output)/model.safetensors.index.json")
        }
    }

    /// Generates a weight in chunks.
    private static func stream(
        _ weights: RandomWeights, _ name: String, _ shape: [Int],
        _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        let count = shape.reduce(1, *)
        let chunk = min(count, 1 << 21)
        let size = weights.element.byteCount
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, chunk * size), alignment: 16)
        defer { buffer.deallocate() }
        var start = 0
        while start < count {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: buffer[..<(min(chunk, count - start) * size)])
            weights.fill(part, name, shape, from: start)
            try body(UnsafeRawBufferPointer(part))
            start += chunk
        }
    }

    /// The config with the precision of the weights, under the key that all versions of transformers read.
    private static func configText(_ config: JSON, _ precision: ElementType) -> String {
        let names: [ElementType: String] = [.f32: "float32", .f16: "float16", .bf16: "bfloat16"]
        var members = config.members.filter { $0.key != "dtype" && $0.key != "torch_dtype" }
            .map { ($0.key, JSONValue($0.value)) }
        members.append(("torch_dtype", .string(names[precision] ?? precision.rawValue)))
        return JSONValue.object(members).text(pretty: true) + "\n"
    }

    private static func generationText(_ generation: GenerationDefaults) -> String {
        var members: [(String, JSONValue)] = [("_from_model_config", true)]
        if let token = generation.beginToken { members.append(("bos_token_id", .int(Int(token)))) }
        let ends = generation.endTokens.map { JSONValue.int(Int($0)) }
        if !ends.isEmpty { members.append(("eos_token_id", ends.count == 1 ? ends[0] : .array(ends))) }
        if let token = generation.padToken { members.append(("pad_token_id", .int(Int(token)))) }
        return JSONValue.object(members).text(pretty: true) + "\n"
    }

    private static func writeText(_ text: String, _ path: String) throws(ApusError) {
        let file = try OutputFile(path: path)
        try file.write(text)
        try file.finish()
    }
}
