import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let embedding: [String: ReferenceFunction] = [
        "embedding": { call throws(ApusError) in
            let (weight, indices) = (call[0], call[1])
            let (rows, width) = (weight.shape[0], weight.shape[1])
            var floats: [Float] = []
            var ints: [Int] = []
            for index in indices.ints {
                guard index >= 0, index < rows else {
                    throw ApusError(.invalidInput, "index \(index) is outside the table's rows 0..<\(rows)")
                }
                let range = index * width..<(index + 1) * width
                if weight.element.isFloat {
                    floats += weight.floats[range]
                } else {
                    ints += weight.ints[range]
                }
            }
            if weight.element.isFloat { return [call.result(floats)] }
            // `widen` makes numbers of integers too.
            return [
                call.elements[0].isFloat ? call.result(ints.map { Float($0) }) : call.result(ints: ints)
            ]
        }
    ]
}
