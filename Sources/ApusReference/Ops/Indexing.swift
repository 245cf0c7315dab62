import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let indexing: [String: ReferenceFunction] = [
        "index": { call throws(ApusError) in
            let x = call[0]
            let indices = call.operands.dropFirst().compactMap { $0 }
            let common = Array(call.shapes[0].dropLast(x.shape.count - indices.count))
            let strides = Strides.dense(x.shape)
            var starts = [Int](repeating: 0, count: common.reduce(1, *))
            for (axis, index) in indices.enumerated() {
                let places = Strides.offsets(common, Strides.broadcast(index.shape, to: common))
                for (position, place) in places.enumerated() {
                    starts[position] += try wrap(index.ints[place], x.shape[axis]) * strides[axis]
                }
            }
            let rest = Strides.offsets(
                Array(x.shape.dropFirst(indices.count)), Array(strides.dropFirst(indices.count)))
            return [pick(x, starts.flatMap { start in rest.map { start + $0 } }, call.shapes[0])]
        },
        "index_select": { call throws(ApusError) in
            let (x, axis) = (call[0], call.axis("dim", rank: call[0].shape.count))
            let outer = x.shape[..<axis].reduce(1, *)
            let inner = x.shape[(axis + 1)...].reduce(1, *)
            var places: [Int] = []
            for row in 0..<outer {
                for index in call[1].ints {
                    let start = (row * x.shape[axis] + (try wrap(index, x.shape[axis]))) * inner
                    places += start..<start + inner
                }
            }
            return [pick(x, places, call.shapes[0])]
        },
        "index_copy": { call throws(ApusError) in
            let rows = try call[1].ints.map { index throws(ApusError) in
                try wrap(index, call[0].shape[call.axis("dim", rank: call[0].shape.count)])
            }
            return [
                replaced(call[0], call[2], axis: call.axis("dim", rank: call[0].shape.count), rows: rows)
            ]
        },
        "kv_update": { call throws(ApusError) in
            let start = try call.value(of: "start")
            let count = call[1].shape[2]
            guard start >= 0, start + count <= call[0].shape[2] else {
                throw ApusError(
                    .mismatch, "rows \(start)..<\(start + count) exceed the capacity of \(call[0].shape[2])")
            }
            let new = Tensor(call.elements[0], call[1].shape, floats: call[1].floats)
            return [replaced(call[0], new, axis: 2, rows: Array(start..<start + count))]
        },
    ]

    /// An index counted from the front: −1 is the last.
    private static func wrap(_ index: Int, _ size: Int) throws(ApusError) -> Int {
        let wrapped = index < 0 ? index + size : index
        guard (0..<size).contains(wrapped) else {
            throw ApusError(.invalidInput, "index \(index) is outside a dimension of \(size)")
        }
        return wrapped
    }

    private static func pick(_ x: Tensor, _ places: [Int], _ shape: [Int]) -> Tensor {
        let floats = x.element.isFloat ? Loops.gather(x.floats, places) : []
        return Tensor(unchecked: x.element, shape, floats, x.element.isFloat ? [] : places.map { x.ints[$0] })
    }

    /// `x` with the given rows of one axis taken from `source`.
    private static func replaced(_ x: Tensor, _ source: Tensor, axis: Int, rows: [Int]) -> Tensor {
        var (floats, ints) = (x.floats, x.ints)
        let inner = x.shape[(axis + 1)...].reduce(1, *)
        for outer in 0..<x.shape[..<axis].reduce(1, *) {
            for (index, row) in rows.enumerated() {
                for column in 0..<inner {
                    let target = (outer * x.shape[axis] + row) * inner + column
                    let place = (outer * rows.count + index) * inner + column
                    if x.element.isFloat {
                        floats[target] = source.floats[place]
                    } else {
                        ints[target] = source.ints[place]
                    }
                }
            }
        }
        return Tensor(unchecked: x.element, x.shape, floats, ints)
    }
}
