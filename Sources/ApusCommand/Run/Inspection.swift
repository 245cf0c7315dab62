import Apus

/// What `apus inspect` looks at: a model on its way to an engine, or a graph and some passes.
struct Inspection {
    /// The graph before any pass.
    let source: Graph
    /// Where its weights come from.
    let weights: any WeightSource
    /// What the model is; nil for a graph alone.
    let info: ModelInfo?
    /// What a reader should know of the import.
    let notes: [String]
    /// Compares the numbers of passes, if that is wanted.
    let checker: PassChecker?
    private let name: String
    let command: InspectCommand
    private let variant: Variant

    /// Reads what the command names.
    init(_ command: InspectCommand, _ variant: Variant) throws(ApusError) {
        self.command = command
        self.variant = variant
        if let path = command.graph {
            source = try Graph(parsing: try WholeFile.text(path: path), source: path)
            weights = SeededWeights(source)
            info = nil
            notes = []
            name = path
        } else {
            let model = try Self.importModel(command)
            source = model.graph
            // A config has shapes only; what values its weights have does not matter to a comparison.
            weights = command.model == nil ? SeededWeights(source) : model.weights
            info = model.info
            notes = model.notes
            name = command.model ?? command.config ?? ""
        }
        checker = command.passFlags.checker(weights)
    }

    private static func importModel(_ command: InspectCommand) throws(ApusError) -> ImportedModel {
        if let model = command.model { return try ModelSource(path: model).importedModel() }
        let json = try JSON.parse(contentsOfFile: command.config ?? "")
        return try command.quantization.importConfig(json, command.precision, seed: 0)
    }

    /// The model after all passes.
    func lowered() throws(ApusError) -> Compiler.Lowered {
        guard let info else { throw ApusError(.invalidInput, "--graph has no model to lower; name passes") }
        var options = variant.options(precision: command.precision?.plain?.element).compile
        (options.dumpDirectory, options.check) = (command.passFlags.dumpPasses, checker?.check)
        return try Compiler.lower(source, weights: weights, info: info, options: options)
    }

    /// The graph after the passes that the command names; the source if it names none.
    func chosenPasses() throws(ApusError) -> (graph: Graph, reports: [PassReport]) {
        var passes: [any Pass] = []
        for name in command.passes?.values ?? [] {
            guard let pass = Pipeline.all[name] else {
                throw ApusError(
                    .invalidInput,
                    "--passes: there is no pass '\(name)'; there are \(Pipeline.all.keys.sorted().joined(separator: ", "))"
                )
            }
            passes.append(pass)
        }
        let manager = PassManager(
            weights: weights, dumpDirectory: command.passFlags.dumpPasses, check: checker?.check)
        return try manager.run(source, passes)
    }

    /// One line for each attention layer.
    var attention: [AttentionReport] {
        get throws(ApusError) {
            if command.passes != nil || info == nil { return try chosenPasses().reports.flatMap(\.attention) }
            return try lowered().passes.flatMap(\.attention)
        }
    }

    /// The text of a stage; nil is the lowered graph, or what the chosen passes made.
    func text(of stage: InspectCommand.Stage?) throws(ApusError) -> String {
        if stage == nil, command.passes != nil || info == nil { return try chosenPasses().graph.text() }
        switch stage ?? .lowered {
        case .imported: return source.text()
        case .lowered: return try lowered().graph.text()
        case .engine:
            let lowered = try lowered()
            guard let info else { return "" }
            let backend = try command.backends.planningBackend()
            let plan = try Compiler.dryRun(lowered, backend: backend)
            return PlanListing(plan, info: info, precision: lowered.precision).text
                + PlanListing.launches(try backend.launches(of: plan, .standard))
        }
    }

    /// The picture of the graph of the stage.
    var drawing: GraphPicture {
        get throws(ApusError) {
            if command.stage == .imported { return GraphPicture(source, title: "\(name), imported") }
            if command.passes != nil || info == nil {
                return GraphPicture(try chosenPasses().graph, title: name)
            }
            return GraphPicture(try lowered().graph, title: "\(name), lowered")
        }
    }
}
