import ApusGraph
import ApusSupport

/// What a config alone tells of a model: everything but its weights.
struct ModelDefinition {
    let modelType: String
    let family: any ModelFamily
    let familyType: any ModelFamily.Type
    let generation: GenerationDefaults
    /// What `dtype` or `torch_dtype` says, if it names a type that weights can have.
    let precision: ElementType?
    /// How a checkpoint with this config is quantised; nil if it is not.
    let quantization: (any QuantizedFormat)?

    /// Reads a config, and the `generation_config.json` beside it if there is one.
    init(
        _ config: JSON, generation: JSON? = nil, families: FamilyRegistry = .standard
    ) throws(ApusError) {
        let reader = try ConfigReader(config)
        (modelType, familyType) = try families.family(reader)
        family = try familyType.init(reader)
        var other: ConfigReader?
        if let generation { other = try ConfigReader(generation) }
        self.generation = try GenerationDefaults.read(config: reader, generation: other)
        let older = try reader.optionalString("torch_dtype")
        precision = Self.precisions[try reader.optionalString("dtype") ?? older ?? ""]
        if let config = try reader.object("quantization_config") {
            quantization = try QuantizationConfig.read(config)
        } else {
            quantization = nil
        }
        try reader.requireNothingElse()
    }

    private static let precisions: [String: ElementType] = [
        "float32": .f32, "float16": .f16, "bfloat16": .bf16, "torch.float32": .f32, "torch.float16": .f16,
        "torch.bfloat16": .bf16,
    ]

    /// How the checkpoint of a folder is quantised, as its config says or the file of an older tool beside it.
    func quantization(in folder: String) throws(ApusError) -> (any QuantizedFormat)? {
        if let quantization { return quantization }
        return try QuantizationConfig.read(beside: folder)
    }

    /// Builds the graph.
    func graph() throws(ApusError) -> Graph {
        let size = family.size
        var builder = GraphBuilder(
            name: modelType, symbols: [Symbol("B", 1...1024), Symbol("S", 1...size.positions)])
        let type = TensorType(.i64, [.symbol("B"), .symbol("S")])
        let ids = builder.input("input_ids", type)
        let positions = builder.input("position_ids", type)
        let logits = try family.build(&builder, ids: ids, positions: positions)
        return builder.finish([logits])
    }

    func info(precision: ElementType) -> ModelInfo {
        let size = family.size
        return ModelInfo(
            modelType: modelType, vocabularySize: size.vocabulary, maxPositions: size.positions,
            layerCount: size.layers, precision: precision, endTokens: generation.endTokens,
            beginToken: generation.beginToken)
    }
}

extension Graph {
    /// Name and type of each parameter, once, in the order of the graph.
    var parameters: [(name: String, type: TensorType)] {
        var seen: Set<String> = []
        return nodes.compactMap { node in
            guard node.op == "parameter", case .string(let name)? = node.attributes["name"],
                seen.insert(name).inserted
            else { return nil }
            return (name, type(of: node.result))
        }
    }
}
