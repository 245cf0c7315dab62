import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let generators: [String: ReferenceFunction] = [
        "arange": { call throws(ApusError) in
            let start = try call.value(of: "start")
            let numbers = (0..<call.shapes[0][0]).map { start + $0 }
            return [
                call.elements[0].isFloat
                    ? call.result(numbers.map { Float($0) }) : call.result(ints: numbers)
            ]
        },
        "full": { call in
            let count = call.shapes[0].reduce(1, *)
            let numbers = [Double](repeating: call.float("value"), count: count)
            return [Tensor(call.elements[0], call.shapes[0], numbers: numbers)]
        },
        "size": { call throws(ApusError) in [call.result(ints: [try call.value(of: "value")])] },
        "causal_mask": { call throws(ApusError) in
            let offset = try call.value(of: "offset")
            let window = call.int("window")
            var mask: [Float] = []
            for query in 0..<call.shapes[0][0] {
                for key in 0..<call.shapes[0][1] {
                    let distance = offset + query - key
                    let isVisible = distance >= 0 && (window == 0 || distance < window)
                    mask.append(isVisible ? 0 : -.infinity)
                }
            }
            return [call.result(mask)]
        },
    ]
}
