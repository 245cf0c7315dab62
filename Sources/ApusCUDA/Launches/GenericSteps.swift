extension StepKind {
    /// Kernels that serve any strided tensors.
    static let genericKinds: [StepKind] = []
}
