import ApusEngine

extension Plan {
    /// Whether a step's kernels may start before those of the step before it have ended.
    ///
    /// Kernels of products of few rows read matrices, biases and norms before they wait for what came before: too early
    /// for those that the pass computes.
    func mayStartEarly(_ step: Step) -> Bool {
        guard let product = Product(step) else { return true }
        return step.operands.enumerated().allSatisfy { position, operand in
            guard let operand, position != 0, position != product.residual else { return true }
            return tensors[root(of: operand)].storage != .activation
        }
    }
}
