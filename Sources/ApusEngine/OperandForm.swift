public import ApusGraph

/// The form in which a kernel reads an operand; what has another form is brought into it by a step before.
public struct OperandForm: Sendable {
    /// Whether the kernel also reads a narrower type that holds the same numbers: i32 for i64, f16 or bf16 for f32.
    public let allowsNarrow: Bool
    /// Whether the operand is added to scores, so that a boolean mask becomes 0 where it is true and −∞ elsewhere.
    public let isBias: Bool
    /// The order in which the kernel reads a stored weight; nil for row-major.
    ///
    /// What the pass computes is never packed.
    public let packing: (any WeightPacking)?
    /// Whether the kernel reads elements that lie like this.
    public let accepts: @Sendable (Layout, TensorType) -> Bool

    /// Describes a form.
    public init(
        allowsNarrow: Bool = false, isBias: Bool = false, packing: (any WeightPacking)? = nil,
        accepts: @escaping @Sendable (Layout, TensorType) -> Bool = { $0.isDense($1.shape) }
    ) {
        self.allowsNarrow = allowsNarrow
        self.isBias = isBias
        self.packing = packing
        self.accepts = accepts
    }

    /// Row-major without gaps.
    public static let dense = OperandForm()
    /// Any layout.
    public static let strided = OperandForm { _, _ in true }
    /// Any layout in which neighbours along the last dimension lie side by side.
    public static let rows = OperandForm { $0.hasDenseRows($1.shape) }

    /// The same form, of narrower types too.
    public var orNarrow: OperandForm {
        OperandForm(allowsNarrow: true, isBias: isBias, packing: packing, accepts: accepts)
    }
}
