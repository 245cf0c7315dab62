public import ApusGraph
public import ApusSupport

/// Turns Hugging Face folders and configs into graphs.
public enum Importer {
    /// Imports a folder with `config.json` and safetensors weights.
    /// - Throws: `.notFound` for what is missing, `.invalidInput` for malformed files, `.unsupported` for a model
    ///   that is not understood, `.mismatch` with all weights that do not fit.
    public static func importCheckpoint(
        folder: String, families: FamilyRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        guard OutputFile.isFolder(folder) else {
            throw ApusError(.notFound, "\(folder): no such folder; check the path")
        }
        let config = try JSON.parse(contentsOfFile: "\(folder)/config.json")
        let generationPath = "\(folder)/generation_config.json"
        let generation =
            OutputFile.exists(generationPath) ? try JSON.parse(contentsOfFile: generationPath) : nil
        let definition = try ModelDefinition(config, generation: generation, families: families)
        let format = try definition.quantization(in: folder)
        let checkpoint = try Checkpoint(folder: folder, fallback: QuantizationConfig.weightsFile(in: folder))
        var graph = try definition.graph()
        var check = WeightCheck(
            checkpoint: checkpoint, family: definition.familyType, isTied: definition.family.isTied)
        let weights = try check.source(of: &graph, format: format)
        try check.check(graph, weights)
        let stored = graph.parameters.first.flatMap { weights.type(of: $0.name)?.element }
        var model = ImportedModel(
            graph: graph, weights: weights,
            info: definition.info(precision: definition.precision ?? stored ?? .f32),
            generation: definition.generation)
        model.notes = format?.notes ?? []
        return model
    }

    /// What ``ImportedModel/notes`` of a folder say, without looking at its weights.
    /// - Throws: What reading the config throws.
    public static func notes(
        ofCheckpoint folder: String, families: FamilyRegistry = .standard
    ) throws(ApusError) -> [String] {
        let config = try JSON.parse(contentsOfFile: "\(folder)/config.json")
        return try ModelDefinition(config, families: families).quantization(in: folder)?.notes ?? []
    }

    /// Imports a config without weights: random ones stand in for them.
    /// - Parameters:
    ///   - path: The `config.json`; with a `quantization_config` the weights are quantised as it says.
    ///   - seed: The seed of the weights.
    ///   - element: The type of weights that are not quantised, and of scales.
    ///   - quantization: How to quantise the weights of a config that does not say so itself.
    /// - Throws: What reading the config throws, and `.mismatch` for groups that do not divide the columns of a layer.
    public static func importConfig(
        path: String, seed: UInt64 = 0, element: ElementType, quantization: QuantizationRequest? = nil,
        families: FamilyRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        try importConfig(
            try JSON.parse(contentsOfFile: path), seed: seed, element: element, quantization: quantization,
            families: families)
    }

    /// Imports a parsed config without weights; see ``importConfig(path:seed:element:quantization:families:)``.
    public static func importConfig(
        _ config: JSON, seed: UInt64 = 0, element: ElementType, quantization: QuantizationRequest? = nil,
        families: FamilyRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        let definition = try ModelDefinition(config, families: families)
        let plain = try definition.graph()
        let forms = try definition.randomForms(of: plain, request: quantization)
        let graph = try plain.withQuantizedWeights(forms)
        let shapes = Dictionary(
            uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.type.constantShape ?? []) })
        let weights = try RandomWeights(shapes: shapes, seed: seed, element: element)
        var model = ImportedModel(
            graph: graph,
            weights: forms.isEmpty ? weights : RandomQuantizedWeights(weights, Array(forms.values)),
            info: definition.info(precision: element), generation: definition.generation)
        model.notes = definition.quantization?.notes ?? []
        return model
    }
}
