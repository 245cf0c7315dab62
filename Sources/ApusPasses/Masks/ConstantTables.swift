import ApusGraph
import ApusSupport

/// Finds elements of constants, literals in the graph and parameters of a weight source, from their values: every
/// value is looked at.
final class ConstantTables {
    private let weights: (any WeightSource)?
    private var loaded: [String: [Double]] = [:]
    /// Why the last constant could not be told as a function of its coordinates.
    private(set) var problem: String?

    /// More elements than any table of a mask or of positions has.
    private static let elementLimit = 1 << 26

    init(_ weights: (any WeightSource)?) { self.weights = weights }

    /// The element of a `constant` or `parameter` at a place.
    func element(
        _ node: NodeView, _ place: [Dimension], _ domain: IndexDomain
    ) throws(ApusError) -> MaskAnalysis.Element? {
        guard let shape = node.type.constantShape, let values = try values(node) else { return nil }
        let pieces =
            values.count == 1
            ? Pieces(Term(values[0])) : ConstantTable(values, shape, place)?.pieces(domain, &problem)
        guard let pieces else { return nil }
        guard node.type.element == .bool else { return .number(pieces) }
        return .truth(domain.simplified(pieces.holds { .constant($0.constant != 0) }))
    }

    /// The values of a constant, one for all or one each; nil if they are not at hand or too many.
    func values(_ node: NodeView) throws(ApusError) -> [Double]? {
        if let literal = node.literal("value") { return literal.values }
        guard let name = node.string("name"), let weights, let type = weights.type(of: name),
            let shape = type.constantShape, shape == node.type.constantShape
        else { return nil }
        if let values = loaded[name] { return values }
        let count = shape.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
        guard count > 0, count <= Self.elementLimit else { return nil }
        var values: [Double] = []
        try weights.withBytes(of: name) { bytes throws(ApusError) in
            guard bytes.count == count * type.element.byteCount else {
                throw ApusError(
                    .mismatch,
                    "'\(name)': expected \(count * type.element.byteCount) bytes, got \(bytes.count)")
            }
            values = StoredNumbers.decode(bytes, type.element)
        }
        loaded[name] = values
        return values
    }
}
