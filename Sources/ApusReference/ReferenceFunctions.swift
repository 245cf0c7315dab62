public import ApusGraph
public import ApusSupport

/// The reference functions by op name.
///
/// The standard set holds one for each op of the standard registry; plugins add their own.
public struct ReferenceFunctions: Sendable {
    private var table: [String: ReferenceFunction]

    /// A set of functions.
    public init(_ table: [String: ReferenceFunction]) { self.table = table }

    /// The function of an op.
    public subscript(op: String) -> ReferenceFunction? { op == "parameter" ? Self.none : table[op] }

    /// Parameters are answered by the interpreter, which owns the weights.
    private static let none: ReferenceFunction = { _ in [] }

    /// Adds a function; an op that has one already is an error.
    public mutating func register(
        _ op: String, _ function: @escaping ReferenceFunction
    ) throws(ApusError) {
        guard self[op] == nil else {
            throw ApusError(.invalidInput, "op '\(op)' already has a reference function; choose another name")
        }
        table[op] = function
    }

    /// Adds a function, in place of the one that the op may have.
    public mutating func replace(_ op: String, _ function: @escaping ReferenceFunction) {
        table[op] = function
    }

    /// The functions of Apus itself, in `Ops/`.
    public static let standard: ReferenceFunctions = {
        let groups: [[String: ReferenceFunction]] = [
            elementwise, gelu, constants, embedding, linear, reductions, norms, reshaping, rope, swiGLU,
            attention, attentionPlugin, gatherLastToken, comparisons, generators, indexing, markers,
            quantized,
        ]
        return ReferenceFunctions(
            groups.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: { first, _ in first }) })
    }()
}
