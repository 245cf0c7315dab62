import ApusGraph
import ApusSupport

/// Traces of `torch.vmap`: a dimension is hidden under a level and shown again. A hidden dimension is a real one here,
/// in front of those that can be seen.
extension ConverterRegistry {
    static let vmap: [String: Converter] = [
        "torch._functorch.predispatch.lazy_load_decompositions": { _ throws(ApusError) in [] },
        "torch._functorch.predispatch._vmap_increment_nesting": { _ throws(ApusError) in [] },
        "torch._functorch.predispatch._vmap_decrement_nesting": { _ throws(ApusError) in [] },
        // Arguments: tensor, dimension, level.
        "torch._functorch.predispatch._add_batch_dim": { call throws(ApusError) in
            let (value, dim, level) = (try tensor(call), try int(call, 1), try int(call, 2))
            let levels = call.context.levels(of: value)
            let rank = call.type(of: value).rank
            let axis = levels.count + (try call.axis(dim, rank: rank - levels.count))
            let place = levels.count { $0 < level }
            let moved = try move(call, value, from: axis, to: place)
            call.context.setLevels(of: moved, to: (levels + [level]).sorted())
            return [moved]
        },
        // Arguments: tensor, level, size, dimension.
        "torch._functorch.predispatch._remove_batch_dim": { call throws(ApusError) in
            let (value, level, dim) = (try tensor(call), try int(call, 1), try int(call, 3))
            var levels = call.context.levels(of: value)
            guard let place = levels.firstIndex(of: level) else {
                return [try addedDimension(call, value, at: dim)]
            }
            levels.remove(at: place)
            let rank = call.type(of: value).rank
            let axis = levels.count + (try call.axis(dim, rank: rank - levels.count))
            let moved = try move(call, value, from: place, to: axis)
            call.context.setLevels(of: moved, to: levels)
            return [moved]
        },
    ]

    private static func tensor(_ call: OperatorCall) throws(ApusError) -> Value {
        guard case .tensor(let name)? = call.node.inputs.first?.value else {
            throw call.unsupported("expected a tensor as the first argument")
        }
        return try call.context.value(of: name)
    }

    private static func int(_ call: OperatorCall, _ index: Int) throws(ApusError) -> Int {
        guard index < call.node.inputs.count, case .int(let value) = call.node.inputs[index].value else {
            throw call.unsupported("expected an integer as argument \(index)")
        }
        return value
    }

    /// A tensor that does not vary under the level is repeated along the new dimension.
    private static func addedDimension(
        _ call: OperatorCall, _ value: Value, at dim: Int
    ) throws(ApusError) -> Value {
        guard call.node.inputs.count > 2 else { throw call.unsupported("expected a size as argument 2") }
        let size: Dimension
        switch call.node.inputs[2].value {
        case .int(let constant): size = Dimension(constant)
        case .symInt(let reference): size = try call.context.dimension(reference)
        default: throw call.unsupported("expected a size as argument 2")
        }
        let levels = call.context.levels(of: value)
        var shape = call.type(of: value).shape
        let axis = levels.count + (try call.axis(dim, rank: shape.count - levels.count + 1))
        let wide = try call.add("unsqueeze", [value], ["dim": .int(axis)])
        shape.insert(size, at: axis)
        let result = try call.expanded(wide, shape)
        call.context.setLevels(of: result, to: levels)
        return result
    }

    /// A tensor with one dimension moved to another place.
    private static func move(
        _ call: OperatorCall, _ value: Value, from: Int, to: Int
    ) throws(ApusError) -> Value {
        // Levels are kept by value, so that a value of its own is needed even where nothing moves.
        guard from != to else { return try call.add("detach", [value]) }
        var order = Array(0..<call.type(of: value).rank)
        order.insert(order.remove(at: from), at: to)
        return try call.add("permute", [value], ["dims": .dimensions(order.map { Dimension($0) })])
    }
}

extension OperatorCall {
    /// Operands of an element-wise op in shapes that line up: all levels in front, then the dimensions that can be
    /// seen, aligned at the right.
    func aligned(_ operands: [Value]) throws(ApusError) -> (values: [Value], levels: [Int]) {
        let all = operands.map { context.levels(of: $0) }
        let levels = Set(all.joined()).sorted()
        guard !levels.isEmpty else { return (operands, []) }
        let visible = zip(operands, all).map { type(of: $0).rank - $1.count }.max() ?? 0
        var values: [Value] = []
        for (value, own) in zip(operands, all) {
            let shape = type(of: value).shape
            let hidden = levels.map { level in own.firstIndex(of: level).map { shape[$0] } ?? 1 }
            let seen = Array(shape.dropFirst(own.count))
            let padding = [Dimension](repeating: 1, count: visible - seen.count)
            values.append(try reshaped(value, hidden + padding + seen))
        }
        return (values, levels)
    }
}
