import ApusGraph
public import ApusSupport

extension Importer {
    /// The sequence length that is taken for a program exported without an upper bound.
    public static let unboundedLength = SymbolTable.unbounded

    /// Whether a path leads to an exported program, rather than to a folder or another file: whether it is a zip
    /// archive, by its first bytes.
    public static func isProgram(path: String) -> Bool {
        guard let file = try? MappedFile(path: path) else { return false }
        return ZipArchive.isZip(file)
    }

    /// Imports a program that `torch.export.save` wrote.
    ///
    /// Inputs keep the names that they had when it was exported; the length of the sequence is the symbol `S`. The
    /// first output is the logits. What the archive does not tell (end tokens, how to sample) is left empty.
    /// - Throws: `.notFound` for what is missing, `.invalidInput` for a damaged archive, `.unsupported` with all
    ///   operators that have no converter, `.mismatch` for a program that contradicts itself.
    public static func importProgram(
        path: String, converters: ConverterRegistry = .standard
    ) throws(ApusError) -> ImportedModel {
        let archive = try TorchArchive(path: path)
        return try ApusError.within(path) { () throws(ApusError) in
            let program = try ExportedProgram(archive.program)
            let result = try ProgramImport(archive: archive, program: program, converters: converters).run(
                name: program.modelType)
            var model = ImportedModel(
                graph: result.graph, weights: ArchiveWeights(archive: archive),
                info: try ProgramInfo(graph: result.graph, program: program).info(),
                generation: GenerationDefaults())
            model.states = result.states
            model.notes = result.notes
            return model
        }
    }

    /// Adds what a program does not tell: end tokens and how to sample, from the folder of its tokenizer.
    ///
    /// - Parameters:
    ///   - model: An imported program.
    ///   - folder: May have a `config.json` and a `generation_config.json`; without them nothing changes.
    /// - Throws: `.invalidInput` for a file that is not understood.
    public static func adopt(
        generationOf folder: String, by model: inout ImportedModel
    ) throws(ApusError) {
        func read(_ name: String) throws(ApusError) -> ConfigReader? {
            let path = "\(folder)/\(name)"
            guard OutputFile.exists(path) else { return nil }
            return try ConfigReader(try JSON.parse(contentsOfFile: path))
        }
        let generation = try read("generation_config.json")
        guard let config = try read("config.json") ?? generation else { return }
        model.generation = try GenerationDefaults.read(config: config, generation: generation)
        model.info.endTokens = model.generation.endTokens
        model.info.beginToken = model.generation.beginToken
    }
}
