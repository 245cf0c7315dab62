import ApusGraph
import ApusReference
import ApusSupport

/// Runs a graph before and after a pass on seeded inputs.
enum SameNumbers {
    /// Compares the outputs; where caches were lifted out, the first.
    ///
    /// A pass that gives a graph other inputs, such as
    /// a cache, is not compared here.
    /// - Throws: `.mismatch` with the difference, relative to the largest value.
    static func check(
        _ pass: String, _ before: Graph, _ after: Graph, _ weights: any WeightSource, tolerance: Double
    ) throws(ApusError) {
        let names = { (graph: Graph) in graph.inputs.map { graph.name(of: $0) ?? "" } }
        let isLifted = before.outputs.count > after.outputs.count
        let isCounting = names(after) == names(before) + ["position_ids"]
        guard names(before) == names(after) || isLifted || isCounting else { return }
        do {
            let before = isLifted ? withEmptyCaches(before, after) : before
            let sizes = Seeded.sizes(before)
            let inputs = try Seeded.inputs(before, sizes).merging(Seeded.inputs(after, sizes)) { old, _ in old
            }
            let outputs = try [before, after].map { graph in
                let own = inputs.filter { graph.input(named: $0.key) != nil }
                return try Interpreter(graph: graph, weights: weights).run(own)
            }
            let differences = zip(outputs[0], outputs[1]).map(difference)
            let worst = differences.prefix(isLifted ? 1 : differences.count).max() ?? 0
            guard worst <= tolerance else {
                throw ApusError(.mismatch, "\(pass) changes an output by \(worst) of the largest value")
            }
        } catch let error as ApusError {
            throw error
        } catch {
            throw ApusError(.internal, "\(error)")
        }
    }

    /// The graph before growing caches were lifted out, such that they may be empty: then both compute the same, a
    /// whole sequence. (Exporters say that a length is at least 2, as they treat 0 and 1 as constants.)
    private static func withEmptyCaches(_ before: Graph, _ after: Graph) -> Graph {
        var graph = before
        for value in before.inputs where after.input(named: before.name(of: value) ?? "") == nil {
            guard before.type(of: value).element.isFloat else { continue }
            for dimension in before.type(of: value).shape {
                for name in dimension.symbols {
                    guard let index = graph.symbols.firstIndex(where: { $0.name == name }) else { continue }
                    graph.symbols[index].range = 0...0
                }
            }
        }
        return graph
    }
}
