import ApusGraph

extension ReferenceFunctions {
    static let swiGLU: [String: ReferenceFunction] = [
        "swiglu": { call in
            let x = call[0].floats
            let width = call.shapes[0].last ?? 0
            let rows = width == 0 ? 0 : x.count / (2 * width)
            var y: [Float] = []
            for row in 0..<rows {
                for column in 0..<width {
                    let gate = Double(x[row * 2 * width + column])
                    let up = Double(x[row * 2 * width + width + column])
                    y.append(Float(gate * sigmoid(gate) * up))
                }
            }
            return [call.result(y)]
        }
    ]
}
