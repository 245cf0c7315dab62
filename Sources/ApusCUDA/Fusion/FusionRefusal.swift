import ApusEngine
import ApusGraph

/// Why steps are left as they are.
struct FusionRefusal: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }

    /// - Throws: The reason, unless the condition holds.
    static func require(
        _ condition: Bool, _ reason: @autoclosure () -> String
    ) throws(FusionRefusal) {
        if !condition { throw FusionRefusal(reason()) }
    }
}

extension Layout {
    /// Whether elements of a shape lie as another layout says; dimensions of size 1 may have any step.
    func places(_ shape: [Dimension], as other: Layout) -> Bool {
        offset == other.offset && strides.count == other.strides.count
            && shape.indices.allSatisfy { strides[$0] == other.strides[$0] || shape[$0] == 1 }
    }

    /// The layout of a tensor [B, S, H, D] as that of [B, H, S, D], and the other way round.
    var withHeadsAndRowsSwapped: Layout { permuted([0, 2, 1, 3]) }
}

extension Dimension {
    /// Whether the value is a multiple of a number whatever the symbols are.
    func isMultiple(of number: Int) -> Bool { monomials.allSatisfy { $0.coefficient % number == 0 } }
}
