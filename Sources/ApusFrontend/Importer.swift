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
        let checkpoint = try Checkpoint(folder: folder)
        var graph = try definition.graph()
        let check = WeightCheck(
            checkpoint: checkpoint, family: definition.familyType, isTied: definition.family.isTied)
        check.renameParameters(of: &graph)
        try check.check(graph)
        let stored = graph.parameters.first.flatMap { checkpoint.type(of: $0.name)?.element }
        return ImportedModel(
            graph: graph, weights: checkpoint,
            info: definition.info(precision: definition.precision ?? stored ?? .f32),
            generation: definition.generation)
    }

    /// Imports a config without weights: random ones stand in for them.
    public static func importConfig(
        path: String, seed: UInt64 = 0, element: ElementType, families: FamilyRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        try importConfig(
            try JSON.parse(contentsOfFile: path), seed: seed, element: element, families: families)
    }

    /// Imports a parsed config without weights: random ones stand in for them.
    public static func importConfig(
        _ config: JSON, seed: UInt64 = 0, element: ElementType, families: FamilyRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        let definition = try ModelDefinition(config, families: families)
        let graph = try definition.graph()
        let shapes = Dictionary(
            uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.type.constantShape ?? []) })
        return ImportedModel(
            graph: graph, weights: try RandomWeights(shapes: shapes, seed: seed, element: element),
            info: definition.info(precision: element), generation: definition.generation)
    }
}
