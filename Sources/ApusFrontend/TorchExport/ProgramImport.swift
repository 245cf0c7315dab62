import ApusGraph
import ApusSupport

/// Builds the graph of an exported program.
///
/// Inputs keep their names. Buffers and constants that the program writes to are its state: each becomes an input and
/// an output.
struct ProgramImport {
    let archive: TorchArchive
    let program: ExportedProgram
    let converters: ConverterRegistry

    /// What an import gives.
    struct Result {
        let graph: Graph
        let states: [ImportedState]
        let notes: [String]
    }

    func run(name: String) throws(ApusError) -> Result {
        let context = try context(name: name, symbols: symbolTable())
        for (kind, argument) in program.inputs {
            guard case .user = kind, case .tensor(let name) = argument else { continue }
            let type = try ApusError.within("input '\(name)'") { () throws(ApusError) in
                try context.declaredType(of: name)
            }
            context.frame.values[name] = context.builder.input(name, type)
        }
        try context.convertNodes()
        guard context.unsupported.isEmpty else { throw context.unsupported.error }
        let (outputs, written) = try outputs(context)
        var graph = context.builder.graph
        graph.outputs = outputs
        let states = try addStates(&graph, written, context)
        graph.symbols = graph.mentioned(context.symbols.symbols)
        try graph.verify()
        return Result(graph: graph, states: states, notes: context.notes)
    }

    private func context(name: String, symbols: SymbolTable) throws(ApusError) -> ImportContext {
        ImportContext(
            name: name, program: program, inputs: try DeferredInputs(program, archive: archive),
            symbols: symbols,
            converters: converters)
    }

    // MARK: Symbols

    /// The symbols, with those made one that must be equal.
    ///
    /// The length of the sequence is called S and, where they are
    /// not constant, the batch B and the length of a cache that is passed in T.
    private func symbolTable() -> SymbolTable {
        var table = SymbolTable(ranges: program.ranges)
        var equalities = SymbolEqualities(program)
        equalities.collect()
        for (a, b) in equalities.pairs { table.unify(a, b) }
        let shapes = program.inputs.compactMap { input -> (isInteger: Bool, sizes: [SizeExpression])? in
            guard case .user = input.kind, case .tensor(let name) = input.argument,
                let meta = program.graph.tensors[name]
            else { return nil }
            return (ElementType(torchCode: meta.dtype)?.isInteger == true, meta.sizes)
        }
        if let tokens = shapes.first(where: { $0.isInteger && $0.sizes.count == 2 })?.sizes {
            if case .symbol(let length) = tokens[1] { table.rename(length, to: "S") }
            if case .symbol(let batch) = tokens[0] { table.rename(batch, to: "B") }
        }
        if let cache = shapes.first(where: { !$0.isInteger && $0.sizes.count == 4 })?.sizes,
            case .symbol(let length) = cache[2]
        {
            table.rename(length, to: "T")
        }
        return table
    }

    // MARK: Outputs and state

    /// The user's outputs in order, and the new value of each buffer and input that is written to.
    private func outputs(
        _ context: ImportContext
    ) throws(ApusError) -> (user: [Value], written: [String: Value]) {
        var user: [Value] = []
        var written: [String: Value] = [:]
        for (kind, argument) in program.outputs {
            for case let name? in argument.resultNames {
                switch kind {
                case .user: user.append(try context.value(of: name))
                case .buffer(let path): written[try inputName(ofBuffer: path)] = try context.value(of: name)
                case .input(let input): written[input] = try context.value(of: name)
                }
            }
        }
        guard !user.isEmpty else {
            throw ApusError(.unsupported, "the program has no output; expected the logits")
        }
        for name in context.mutated where written[name] == nil {
            written[name] = try context.value(of: name)
        }
        return (user, written)
    }

    private func inputName(ofBuffer path: String) throws(ApusError) -> String {
        for (kind, argument) in program.inputs {
            if case .buffer(path) = kind, case .tensor(let name) = argument { return name }
        }
        throw ApusError(.invalidInput, "the program writes to a buffer '\(path)' that is none of its inputs")
    }

    /// Makes an input and an output of each tensor that is written to, in the order of the signature's inputs.
    private func addStates(
        _ graph: inout Graph, _ written: [String: Value], _ context: ImportContext
    ) throws(ApusError) -> [ImportedState] {
        var states: [ImportedState] = []
        var replacements: [Value: Value] = [:]
        for (kind, argument) in program.inputs {
            guard case .tensor(let name) = argument, let new = written[name] else { continue }
            switch kind {
            case .buffer(let path), .constant(let path):
                try requireZeros(path)
                let input = graph.addInput(path, try archive.tensor(path).type)
                if let old = context.inputs.node(of: path) { replacements[old] = input }
                states.append(ImportedState(input: path, output: graph.outputs.count))
                graph.outputs.append(new)
            case .user:
                states.append(ImportedState(input: name, output: graph.outputs.count))
                graph.outputs.append(new)
            case .parameter(let path):
                throw ApusError(
                    .unsupported, "the program writes to the parameter '\(path)'; export for inference")
            case .value: break
            }
        }
        graph.nodes.removeAll { node in node.results.first.map { replacements[$0] != nil } ?? false }
        graph.replaceUses(replacements)
        return states
    }

    private func requireZeros(_ path: String) throws(ApusError) {
        try ArchiveWeights(archive: archive).withBytes(of: path) { bytes throws(ApusError) in
            guard bytes.allSatisfy({ $0 == 0 }) else {
                throw ApusError(
                    .unsupported,
                    "the program writes to '\(path)', whose first value is not zero; state must begin as zeros"
                )
            }
        }
    }
}
