import ApusGraph
import ApusSupport

/// Finds symbols of a program that must be equal for it to run: a guard or an assertion says so, or an operator asks
/// for two sizes to be the same.
///
/// Exporters keep only some of these equalities; a KV cache's tensors, say, have a length each.
struct SymbolEqualities {
    private let graph: ExportedGraph
    private let guards: [String]
    /// Expressions as dimensions over the program's own names.
    private var trial: SymbolTable
    /// The pairs that were found.
    private(set) var pairs: [(String, String)] = []

    init(_ program: ExportedProgram) {
        graph = program.graph
        guards = program.guards
        trial = SymbolTable(ranges: program.ranges)
    }

    /// Looks at all guards and nodes.
    mutating func collect() {
        let graph = graph
        for text in guards {
            guard let equality = GuardEquality(text, sizes: { graph.tensors[$0]?.sizes }) else { continue }
            equate(equality.sides.0, equality.sides.1)
        }
        var comparisons: [String: ExportedNode] = [:]
        for node in graph.nodes {
            if case .symBool(let name)? = node.outputs.first { comparisons[name] = node }
            switch node.target {
            case "aten._assert_scalar.default":
                guard case .symBool(let name)? = node.inputs.first?.value, let comparison = comparisons[name],
                    comparison.target == "_operator.eq", comparison.inputs.count == 2
                else { continue }
                equate(size(comparison.inputs[0].value), size(comparison.inputs[1].value))
            case "aten.mm.default", "aten.bmm.default", "aten.matmul.default":
                let shapes = tensors(node)
                guard shapes.count == 2, shapes[0].count >= 2, shapes[1].count >= 2 else { continue }
                equate(shapes[0].last, shapes[1][shapes[1].count - 2])
            case let target where target.contains("scaled_dot_product"): attention(node)
            case let target where Self.isElementwise(target):
                let shapes = tensors(node)
                for other in shapes.dropFirst() { broadcast(shapes[0], other) }
            default: continue
            }
        }
    }

    private static func isElementwise(_ target: String) -> Bool {
        ConverterRegistry.arithmetic[target] != nil || ConverterRegistry.comparisons[target] != nil
            || target.hasPrefix("aten.where.")
    }

    /// Keys and values are as many, and the mask has a column for each.
    private mutating func attention(_ node: ExportedNode) {
        func shape(_ names: String...) -> [SizeExpression]? {
            for input in node.inputs where names.contains(input.name) {
                if case .tensor(let name) = input.value { return graph.tensors[name]?.sizes }
            }
            return nil
        }
        guard let keys = shape("key"), let values = shape("value"), keys.count == 4, values.count == 4 else {
            return
        }
        equate(keys[2], values[2])
        if let mask = shape("attn_mask", "attn_bias"), let columns = mask.last, columns != .int(1) {
            equate(columns, keys[2])
        }
    }

    private mutating func broadcast(_ a: [SizeExpression], _ b: [SizeExpression]) {
        for (x, y) in zip(a.reversed(), b.reversed()) where x != .int(1) && y != .int(1) { equate(x, y) }
    }

    private mutating func equate(_ a: SizeExpression?, _ b: SizeExpression?) {
        guard let a, let b, a != b, let x = try? trial.dimension(a), let y = try? trial.dimension(b) else {
            return
        }
        let difference = x - y
        let names = difference.symbols
        guard names.count == 2 else { return }
        let bare = Dimension.symbol(names[0]) - .symbol(names[1])
        if difference == bare || difference == bare * -1 { pairs.append((names[0], names[1])) }
    }

    private func tensors(_ node: ExportedNode) -> [[SizeExpression]] {
        node.inputs.compactMap { input in
            if case .tensor(let name) = input.value { graph.tensors[name]?.sizes } else { nil }
        }
    }

    private func size(_ argument: ExportedArgument) -> SizeExpression? {
        switch argument {
        case .int(let value), .symInt(.int(let value)): .int(value)
        case .symInt(.name(let name)): graph.sizes[name]
        default: nil
        }
    }
}
