import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let gatherLastToken: [String: ReferenceFunction] = [
        "gather_last_token": { call throws(ApusError) in
            let (x, last) = (call[0], call[1])
            let (steps, width) = (x.shape[1], x.shape[2])
            var floats: [Float] = []
            var ints: [Int] = []
            for (batch, step) in last.ints.enumerated() {
                guard step >= 0, step < steps else {
                    throw ApusError(
                        .invalidInput, "last[\(batch)] is \(step), outside the tokens 0..<\(steps)")
                }
                let start = (batch * steps + step) * width
                if x.element.isFloat {
                    floats += x.floats[start..<start + width]
                } else {
                    ints += x.ints[start..<start + width]
                }
            }
            return [x.element.isFloat ? call.result(floats) : call.result(ints: ints)]
        }
    ]
}
