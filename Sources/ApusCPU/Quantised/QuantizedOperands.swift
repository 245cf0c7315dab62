import ApusEngine
import ApusGraph

/// What a linear of quantised weights needs to know of its kernels' arguments: shared by the plugin and the built-in op.
struct QuantizedOperands {
    /// Positions of the operands of both ops.
    enum Position {
        static let x = 0, codes = 1, scales = 2, zeroPoints = 3, bias = 4
    }

    /// The forms in which the kernels read them.
    static func packing(of operand: Int, bits: Int) -> (any WeightPacking)? {
        switch operand {
        case Position.codes: CodePanels(bits: bits)
        case Position.scales, Position.zeroPoints: GroupPanels()
        default: nil
        }
    }

    /// Why no kernel serves a query; nil if one does.
    static func refusal(_ query: KernelQuery, bits: Int) -> String? {
        guard query.operands[Position.x]?.element == .f32 else { return "x is not f32" }
        if query.operands.count > Position.bias, let bias = query.operands[Position.bias],
            bias.element != .f32
        {
            return "bias \(bias) is not f32"
        }
        guard let codes = query.operands[Position.codes], let shape = codes.constantShape, shape.count == 2
        else {
            return "the codes are not a constant matrix"
        }
        let (group, word) = (query.int("group_size"), bits == 4 ? 8 : 4)
        guard group % word == 0 || group == shape[1] else {
            return "group_size \(group) is neither a multiple of \(word) nor all \(shape[1]) inputs"
        }
        return nil
    }
}
