public import ApusGraph
public import ApusPasses
public import ApusReference
import ApusSupport
import Synchronization

/// Runs the graphs before and after each pass in the reference interpreter and compares the numbers.
///
///     let checker = PassChecker(weights: model.weights)
///     let lowered = try Compiler.lower(model.graph, info: model.info, options: CompileOptions(check: checker.check))
///     for result in checker.results { print(result) }
///
/// The interpreter is slow: a model of 0.5 B parameters takes minutes a pass, a tiny one milliseconds.
public final class PassChecker: Sendable {
    /// What the comparison of one pass found.
    public struct Result: Sendable, Hashable, CustomStringConvertible {
        /// The pass.
        public let pass: String
        /// Largest difference, relative to the largest number that is compared; nil if nothing could be compared.
        public let difference: Double?
        /// The difference that is allowed.
        public let tolerance: Double
        /// Why nothing could be compared.
        public let reason: String?

        /// The result on one line.
        public var description: String {
            guard let difference else { return "\(pass): not compared: \(reason ?? "")" }
            return "\(pass): largest difference \(difference), allowed \(tolerance)"
        }
    }

    private let weights: any WeightSource
    private let registry: OpRegistry
    private let functions: ReferenceFunctions

    private struct State {
        var results: [Result] = []
        /// What the last graph gave: the graph after one pass is the one before the next.
        var last: (graph: String, outputs: [Tensor])?
    }
    private let state = Mutex(State())

    /// Makes a checker.
    /// - Parameters:
    ///   - weights: The values of the graphs' parameters; ``SeededWeights`` will do.
    ///   - registry: The ops that the graphs use.
    ///   - functions: Their reference functions.
    public init(
        weights: any WeightSource, registry: OpRegistry = .standard, functions: ReferenceFunctions = .standard
    ) {
        self.weights = weights
        self.registry = registry
        self.functions = functions
    }

    /// One result for each pass that changed the graph, in order.
    public var results: [Result] { state.withLock { $0.results } }

    /// The comparison, for a pass manager or the compiler.
    /// - Throws: `.internal` when numbers differ by more than is allowed, and what the interpreter throws.
    public var check: PassManager.Check {
        { pass, before, after throws(ApusError) in try self.compare(pass, before, after) }
    }

    private func compare(_ pass: String, _ before: Graph, _ after: Graph) throws(ApusError) {
        let tolerance = Self.tolerance(before, after)
        let result: Result
        do {
            let expected = try outputs(before)
            let got = try outputs(after)
            result = Result(
                pass: pass, difference: Self.difference(expected, got), tolerance: tolerance, reason: nil)
        } catch let unknown as GraphProbe.Unknown {
            result = Result(
                pass: pass, difference: nil, tolerance: tolerance,
                reason: "no rule to choose values for \(unknown.input)")
        } catch let error as ApusError {
            throw error
        } catch {
            throw ApusError(.internal, "\(error)")
        }
        state.withLock { $0.results.append(result) }
        if let difference = result.difference, !(difference <= tolerance) {
            throw ApusError(
                .internal,
                "the numbers change by \(difference) of the largest, allowed are \(tolerance): the pass is wrong"
            )
        }
    }

    private func outputs(_ graph: Graph) throws -> [Tensor] {
        let text = graph.text(registry: registry)
        if let last = state.withLock({ $0.last }), last.graph == text { return last.outputs }
        let outputs = try GraphProbe(
            graph, weights: weights, registry: registry, functions: functions
        ).run()
        state.withLock { $0.last = (text, outputs) }
        return outputs
    }

    /// What rounding explains, in units of the narrowest type of each graph.
    ///
    /// Passes over a half-precision graph move the places where results are rounded: 4 units. One that leaves less
    /// rounding than there was removes the errors of all steps together: 8 units.
    private static func tolerance(_ before: Graph, _ after: Graph) -> Double {
        func unit(_ graph: Graph) -> Double {
            let elements = Set(graph.nodes.flatMap(\.results).map { graph.type(of: $0).element })
            if elements.contains(.bf16) { return 0x1p-8 }
            return elements.contains(.f16) ? 0x1p-11 : 0
        }
        let units = (before: unit(before), after: unit(after))
        return max(1e-5, units.after < units.before ? 8 * units.before : 4 * units.after)
    }

    /// The largest difference relative to the largest number; infinite if shapes differ or a NaN is on one side.
    private static func difference(_ expected: [Tensor], _ got: [Tensor]) -> Double {
        guard expected.map(\.shape) == got.map(\.shape) else { return .infinity }
        var worst = 0.0
        for (a, b) in zip(expected, got) {
            let x = a.element.isFloat ? a.floats.map(Double.init) : a.ints.map(Double.init)
            let y = b.element.isFloat ? b.floats.map(Double.init) : b.ints.map(Double.init)
            let largest = x.filter(\.isFinite).reduce(1e-30) { max($0, abs($1)) }
            for (p, q) in zip(x, y) where p != q && !(p.isNaN && q.isNaN) {
                let error = abs(p - q) / largest
                worst = error.isNaN ? .infinity : max(worst, error)
            }
        }
        return worst
    }
}
