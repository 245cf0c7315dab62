import ApusGraph

extension ReferenceFunctions {
    static let norms: [String: ReferenceFunction] = [
        "rms_norm": { call in
            [call.result(rmsNorm(call[0].floats, call[1].floats, call.float("eps")))]
        },
        "layer_norm": { call in
            let bias = call.optional(2)?.floats
            return [call.result(layerNorm(call[0].floats, call[1].floats, bias, call.float("eps")))]
        },
        "add_rms_norm": { call in
            let sum = call.result(zip(call[0].floats, call[1].floats).map { $0 + $1 })
            return [sum, call.result(rmsNorm(sum.floats, call[2].floats, call.float("eps")), 1)]
        },
        "add_layer_norm": { call in
            let sum = call.result(zip(call[0].floats, call[1].floats).map { $0 + $1 })
            let bias = call.optional(3)?.floats
            return [sum, call.result(layerNorm(sum.floats, call[2].floats, bias, call.float("eps")), 1)]
        },
    ]

    /// x/√(mean(x²) + eps)·weight for each row as long as `weight`.
    static func rmsNorm(_ x: [Float], _ weight: [Float], _ eps: Double) -> [Float] {
        mapRows(x, width: weight.count) { row in
            let mean = row.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(row.count)
            let scale = 1 / (mean + eps).squareRoot()
            return zip(row, weight).map { Float(Double($0) * scale * Double($1)) }
        }
    }

    /// (x - mean(x))/√(var(x) + eps)·weight + bias for each row as long as `weight`.
    private static func layerNorm(
        _ x: [Float], _ weight: [Float], _ bias: [Float]?, _ eps: Double
    ) -> [Float] {
        mapRows(x, width: weight.count) { row in
            let mean = row.reduce(0.0) { $0 + Double($1) } / Double(row.count)
            let variance = row.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
            let scale = 1 / (variance / Double(row.count) + eps).squareRoot()
            return row.enumerated().map { column, value in
                let normal = (Double(value) - mean) * scale * Double(weight[column])
                return Float(normal + Double(bias?[column] ?? 0))
            }
        }
    }

    private static func mapRows(
        _ x: [Float], width: Int, _ function: (ArraySlice<Float>) -> [Float]
    ) -> [Float] {
        guard width > 0 else { return [] }
        return stride(from: 0, to: x.count, by: width).flatMap { function(x[$0..<$0 + width]) }
    }
}
