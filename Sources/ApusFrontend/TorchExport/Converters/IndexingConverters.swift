import ApusGraph
import ApusSupport

/// Elements picked or replaced by integer tensors.
extension ConverterRegistry {
    static let indexing: [String: Converter] = [
        "aten.index.Tensor": { call throws(ApusError) in
            let x = try call.tensor("self")
            var places: [(axis: Int, index: Value)] = []
            for (axis, index) in try call.optionalTensors("indices").enumerated() {
                guard let index else { continue }
                guard call.type(of: index).element != .bool else {
                    throw call.unsupported("an index by truth values, whose result's size depends on data")
                }
                places.append((axis, index))
            }
            return [try pick(call, x, places)]
        },
        "aten.index_select.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
            return [try call.add("index_select", [x, try call.tensor("index")], ["dim": .int(axis)])]
        },
        "aten.index_copy.default": { call throws(ApusError) in
            let x = try call.tensor("self")
            let axis = try call.axis(try call.int("dim"), rank: call.type(of: x).rank)
            return [
                try call.add(
                    "index_copy", [x, try call.tensor("index"), try call.tensor("source")],
                    ["dim": .int(axis)])
            ]
        },
        "aten.index_fill.int_Scalar": { call throws(ApusError) in
            let x = try call.tensor("self")
            let type = call.type(of: x)
            let axis = try call.axis(try call.int("dim"), rank: type.rank)
            let index = try call.tensor("index")
            var shape = type.shape
            shape[axis] = call.type(of: index).shape.first ?? 1
            let value = try call.promoted([try call.operand("value")], as: type.element)[0]
            return [
                try call.add("index_copy", [x, index, try call.expanded(value, shape)], ["dim": .int(axis)])
            ]
        },
        "aten.index_put.default": { call throws(ApusError) in
            guard try !call.bool("accumulate", default: false) else {
                throw call.unsupported("accumulate = true")
            }
            let x = try call.tensor("self")
            let type = call.type(of: x)
            let indices = try call.optionalTensors("indices")
            let given = indices.indices.filter { indices[$0] != nil }
            guard given.count == 1, let index = indices[given[0]], call.type(of: index).rank == 1,
                call.type(of: index).element.isInteger
            else { throw call.unsupported("an index other than one row of integers for one dimension") }
            var shape = type.shape
            shape[given[0]] = call.type(of: index).shape[0]
            let values = try call.converted(try call.tensor("values"), to: type.element)
            return [
                try call.add(
                    "index_copy", [x, index, try call.expanded(values, shape)], ["dim": .int(given[0])])
            ]
        },
    ]

    /// x indexed at some of its dimensions.
    private static func pick(
        _ call: OperatorCall, _ x: Value, _ places: [(axis: Int, index: Value)]
    ) throws(ApusError) -> Value {
        let axes = places.map(\.axis)
        if axes == Array(0..<axes.count), !axes.isEmpty {
            return try call.add("index", [x] + places.map(\.index))
        }
        if places.count == 1, call.type(of: places[0].index).rank == 1 {
            return try call.add("index_select", [x, places[0].index], ["dim": .int(axes[0])])
        }
        throw call.unsupported("indices at the dimensions \(axes)")
    }
}
