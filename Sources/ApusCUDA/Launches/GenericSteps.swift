extension StepKind {
    /// Kernels that serve any strided tensors.
    static let genericKinds: [StepKind] =
        [
            GatherLastTokenStep.kind, CopyStep.kind, CatStep.kind, PadStep.kind, KVUpdateStep.kind,
            WhereStep.kind, SoftmaxStep.kind, IndexCopyStep.kind, RopeStep.kind, MatmulStep.kind,
            EmbeddingRowsStep.kind,
        ] + UnaryStep.kinds + BinaryStep.kinds + ConvertStep.kinds + ReduceStep.kinds + TriangleStep.kinds
        + GeneratorStep.kinds + IndexStep.kinds
}
