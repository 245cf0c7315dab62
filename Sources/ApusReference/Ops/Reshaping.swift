import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let reshaping: [String: ReferenceFunction] = [
        "view": { call throws(ApusError) in
            let y = call[0].reshaped(call.shapes[0])
            guard y.isComplete else {
                throw ApusError(.mismatch, "\(call[0]) does not have as many elements as \(y)")
            }
            return [y]
        },
        "unsqueeze": { call in [call[0].reshaped(call.shapes[0])] },
        "transpose": { call in
            let x = call[0]
            var strides = Strides.dense(x.shape)
            strides.swapAt(
                call.axis("dim0", rank: x.shape.count), call.axis("dim1", rank: x.shape.count))
            return [gather(x, call.shapes[0], strides)]
        },
        "permute": { call in
            guard case .dimensions(let order)? = call.attribute("dims") else { return [] }
            let strides = Strides.dense(call[0].shape)
            return [gather(call[0], call.shapes[0], order.compactMap(\.constant).map { strides[$0] })]
        },
        "expand": { call in
            [gather(call[0], call.shapes[0], Strides.broadcast(call[0].shape, to: call.shapes[0]))]
        },
        "slice": { call throws(ApusError) in
            let x = call[0]
            let axis = call.axis("dim", rank: x.shape.count)
            let start = try call.value(of: "start")
            // A symbolic size is known only now, so that the range is checked only now.
            guard start >= 0, start + call.shapes[0][axis] <= x.shape[axis] else {
                throw ApusError(
                    .mismatch,
                    "range \(start)..<\(start + call.shapes[0][axis]) exceeds dimension \(x.shape[axis])")
            }
            let strides = Strides.dense(x.shape)
            return [gather(x, call.shapes[0], strides, start: start * strides[axis])]
        },
        "pad": { call throws(ApusError) in
            let x = call[0]
            let axis = call.axis("dim", rank: x.shape.count)
            let before = try call.value(of: "before")
            guard before >= 0, try call.value(of: "after") >= 0 else {
                throw ApusError(.mismatch, "a negative number of elements cannot be added")
            }
            let value = Tensor(x.element, [1], numbers: [call.float("value")])
            let size = call.shapes[0][axis]
            let inner = x.shape[(axis + 1)...].reduce(1, *)
            var floats: [Float] = []
            var ints: [Int] = []
            for row in 0..<x.shape[..<axis].reduce(1, *) {
                let range = row * x.shape[axis] * inner..<(row + 1) * x.shape[axis] * inner
                let (head, tail) = (before * inner, (size - before - x.shape[axis]) * inner)
                if x.element.isFloat {
                    let fill = value.floats[0]
                    floats += repeatElement(fill, count: head) + x.floats[range]
                    floats += repeatElement(fill, count: tail)
                } else {
                    ints += repeatElement(value.ints[0], count: head) + x.ints[range]
                    ints += repeatElement(value.ints[0], count: tail)
                }
            }
            return [Tensor(unchecked: x.element, call.shapes[0], floats, ints)]
        },
        "cat": { call in
            let axis = call.axis("dim", rank: call.shapes[0].count)
            let outer = call.shapes[0][..<axis].reduce(1, *)
            var floats: [Float] = []
            var ints: [Int] = []
            for row in 0..<outer {
                for case let part? in call.operands {
                    let count = part.shape[axis...].reduce(1, *)
                    let range = row * count..<(row + 1) * count
                    if part.element.isFloat { floats += part.floats[range] } else { ints += part.ints[range] }
                }
            }
            return [Tensor(unchecked: call.elements[0], call.shapes[0], floats, ints)]
        },
    ]

    /// The elements of a strided view, copied into a dense tensor.
    private static func gather(_ x: Tensor, _ shape: [Int], _ strides: [Int], start: Int = 0) -> Tensor {
        let offsets = Strides.offsets(shape, strides, start: start)
        let floats = x.element.isFloat ? Loops.gather(x.floats, offsets) : []
        let ints = x.element.isFloat ? [] : offsets.map { x.ints[$0] }
        return Tensor(unchecked: x.element, shape, floats, ints)
    }
}
