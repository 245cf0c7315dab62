public import ApusGraph
public import ApusSupport

/// What turns the operators of exported programs into nodes of a graph, by name.
///
/// Names are those of PyTorch with the overload: `aten.view.default`, `mylib.my_op.default`, `_operator.add`. A
/// converter reads the arguments it needs by the names of the operator's schema, adds nodes and gives the values of
/// the results in order; a result that nothing uses may be left out at the end.
///
///     var converters = ConverterRegistry.standard
///     try converters.register("mylib.double.default") { call throws(ApusError) in
///         let x = try call.tensor("x")
///         return [try call.add("add", [x, x])]
///     }
///     let model = try Importer.importProgram(path: "model.pt2", converters: converters)
public struct ConverterRegistry: Sendable {
    /// Converts one call.
    /// - Throws: `.unsupported` for a form of the call that it does not do; such calls are listed together.
    public typealias Converter = @Sendable (OperatorCall) throws(ApusError) -> [Value]

    private var table: [String: Converter]

    /// A registry of the given converters.
    public init(_ table: [String: Converter]) { self.table = table }

    /// The converter of an operator.
    public subscript(target: String) -> Converter? { table[target] }

    /// The names of all operators that have a converter, sorted.
    public var targets: [String] { table.keys.sorted() }

    /// Adds a converter; an operator that has one already is an error.
    public mutating func register(_ target: String, _ converter: @escaping Converter) throws(ApusError) {
        guard table[target] == nil else {
            throw ApusError(
                .invalidInput, "operator '\(target)' already has a converter; use 'replace' to take its place"
            )
        }
        table[target] = converter
    }

    /// Adds a converter, in place of the one that the operator may have.
    public mutating func replace(_ target: String, _ converter: @escaping Converter) {
        table[target] = converter
    }

    /// The converters of Apus itself, in `Converters/`.
    public static let standard: ConverterRegistry = {
        let groups: [[String: Converter]] = [
            arithmetic, comparisons, unaries, casts, views, slices, joins, products, norms, reductions,
            generators, indexing, selection, attention, markers, sizes, assertions, higherOrder, vmap,
            dataDependent,
        ]
        return ConverterRegistry(
            groups.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: { first, _ in first }) })
    }()
}
