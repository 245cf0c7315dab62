import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport

/// Runs one graph in the reference interpreter on seeded inputs, whatever signature the passes gave it so far.
///
/// A graph with `input_ids` is driven as a language model: the same tokens are given to a graph without a cache as
/// growing prefixes, and to one with caches as a prefill, a chunk and a decode step. What is compared are the logits
/// of the last token after each. Any other graph is run once and all its outputs are compared.
struct GraphProbe {
    /// Why a graph cannot be driven.
    struct Unknown: Error {
        let input: String
    }

    private let graph: Graph
    private let interpreter: Interpreter
    private let batch: Int
    /// Tokens given after each call.
    private let cuts: [Int]
    /// Lengths of caches that come back longer than they were given; they are empty at first.
    private let growing: Set<String>

    init(_ graph: Graph, weights: any WeightSource, registry: OpRegistry, functions: ReferenceFunctions)
        throws(ApusError)
    {
        let growing = Self.growingSymbols(graph)
        let graph = Self.relaxed(graph, growing)
        self.graph = graph
        self.growing = growing
        interpreter = try Interpreter(
            graph: graph, weights: weights, registry: registry, functions: functions)
        let ids = graph.input(named: Bindings.inputIDs).map(graph.type(of:))
        batch = ids?.shape.first?.constant ?? 2
        let range = graph.symbol(named: Bindings.tokensSymbol)?.range ?? 1...8
        let count = ids?.shape.last?.constant ?? max(range.lowerBound, min(8, range.upperBound))
        let isFixed = ids?.shape.last?.constant != nil
        let prefixes = [count - 3, count - 1, count].filter { $0 >= max(range.lowerBound, 1) }
        cuts = isFixed ? [count] : prefixes
    }

    /// The symbols by which a state that is given in differs from the one that comes out.
    private static func growingSymbols(_ graph: Graph) -> Set<String> {
        let states = graph.inputs.filter { !known.contains(graph.name(of: $0) ?? "") }
        return zip(states, graph.outputs.dropFirst()).reduce(into: []) { symbols, pair in
            let (given, returned) = (graph.type(of: pair.0), graph.type(of: pair.1))
            guard given != returned, given.rank == returned.rank else { return }
            for (before, after) in zip(given.shape, returned.shape) where before != after {
                symbols.formUnion(before.symbols)
            }
        }
    }

    /// The graph for lengths that exporters exclude: they treat 0 and 1 as constants, which a comparison need not.
    private static func relaxed(_ graph: Graph, _ growing: Set<String>) -> Graph {
        var graph = graph
        for index in graph.symbols.indices {
            let symbol = graph.symbols[index]
            if growing.contains(symbol.name) { graph.symbols[index].range = 0...symbol.range.upperBound }
            if symbol.name == Bindings.tokensSymbol {
                graph.symbols[index].range = min(1, symbol.range.lowerBound)...symbol.range.upperBound
            }
        }
        return graph
    }

    /// The numbers to compare with those of another graph.
    func run() throws -> [Tensor] {
        guard graph.input(named: Bindings.inputIDs) != nil else {
            return try interpreter.run(try plainInputs())
        }
        return try states.isEmpty ? runPrefixes() : runPieces()
    }

    /// The inputs that hold what earlier calls computed, in order.
    private var states: [String] {
        graph.inputs.compactMap { graph.name(of: $0) }.filter { name in
            !Self.known.contains(name)
        }
    }

    private static let known: Set<String> = [
        Bindings.inputIDs, Bindings.positionIDs, Bindings.contextLengths, Bindings.kvCacheStartIndex,
        Bindings.lastTokenIDs, "start_idx", "end_idx", "cache_position",
    ]

    private func runPrefixes() throws -> [Tensor] {
        try cuts.map { try lastLogits(interpreter.run(try inputs(0..<$0, [:]))) }
    }

    private func runPieces() throws -> [Tensor] {
        var caches: [String: Tensor] = [:]
        var start = 0
        return try cuts.map { end in
            let outputs = try interpreter.run(try inputs(start..<end, caches))
            for (name, tensor) in zip(states, outputs.dropFirst()) { caches[name] = tensor }
            start = end
            return try lastLogits(outputs)
        }
    }

    /// The logits of the last token, [batch, V].
    private func lastLogits(_ outputs: [Tensor]) throws -> Tensor {
        guard let logits = outputs.first, logits.shape.count == 3, logits.element.isFloat else {
            throw Unknown(input: "the first output, which is no logits [B, S, V]")
        }
        let (tokens, vocabulary) = (logits.shape[1], logits.shape[2])
        let rows = (0..<logits.shape[0]).flatMap { row in
            let end = (row + 1) * tokens * vocabulary
            return logits.floats[end - vocabulary..<end]
        }
        return Tensor(.f32, [logits.shape[0], vocabulary], floats: rows)
    }

    private func inputs(_ range: Range<Int>, _ caches: [String: Tensor]) throws -> [String: Tensor] {
        var inputs: [String: Tensor] = [:]
        for value in graph.inputs {
            let name = graph.name(of: value) ?? ""
            let type = graph.type(of: value)
            let perSequence = { (number: Int) in
                Tensor(type.element, [batch], ints: Array(repeating: number, count: batch))
            }
            switch name {
            case Bindings.inputIDs:
                let all = SeededValues.integers(name, batch * total, below: vocabulary)
                inputs[name] = Tensor(
                    type.element, [batch, range.count],
                    ints: (0..<batch).flatMap { row in range.map { all[row * total + $0] } })
            case Bindings.positionIDs:
                inputs[name] = Tensor(
                    type.element, [batch, range.count], ints: (0..<batch).flatMap { _ in Array(range) })
            case "cache_position":
                inputs[name] = Tensor(type.element, [range.count], ints: Array(range))
            case Bindings.contextLengths:
                let isDecode = range.lowerBound > 0 && range.count == 1
                inputs[name] = perSequence(isDecode ? range.upperBound : range.count)
            case Bindings.kvCacheStartIndex:
                inputs[name] =
                    range.lowerBound == 0
                    ? Tensor(type.element, [0], ints: []) : perSequence(range.lowerBound)
            case Bindings.lastTokenIDs: inputs[name] = perSequence(range.count - 1)
            case "start_idx": inputs[name] = Tensor(type.element, [], ints: [range.lowerBound])
            case "end_idx": inputs[name] = Tensor(type.element, [], ints: [range.upperBound])
            default:
                // What a cache holds before it is written must not matter.
                let shape = try shape(of: type, name)
                inputs[name] =
                    caches[name] ?? SeededValues.tensor(name, type.element, shape, below: vocabulary)
            }
        }
        return inputs
    }

    private var total: Int { cuts.last ?? 1 }

    /// Ids below this number are in every table of the graph.
    private var vocabulary: Int {
        let tables = graph.nodes.filter { $0.op == "embedding" }.compactMap { node in
            node.operands[0].flatMap { graph.type(of: $0).shape.first?.constant }
        }
        return tables.min() ?? 4
    }

    private func shape(of type: TensorType, _ name: String) throws -> [Int] {
        try type.shape.map { dimension in
            let size = dimension.evaluate { symbol in
                if symbol == Bindings.batchSymbol { return batch }
                if growing.contains(symbol) { return 0 }
                let range = graph.symbol(named: symbol)?.range ?? 1...1
                return max(range.lowerBound, min(16, range.upperBound))
            }
            guard let size, size >= 0 else { throw Unknown(input: "input '\(name)' : \(type)") }
            return size
        }
    }

    private func plainInputs() throws -> [String: Tensor] {
        var inputs: [String: Tensor] = [:]
        for value in graph.inputs {
            let (name, type) = (graph.name(of: value) ?? "", graph.type(of: value))
            inputs[name] = SeededValues.tensor(
                name, type.element, try shape(of: type, name), below: vocabulary)
        }
        return inputs
    }
}
