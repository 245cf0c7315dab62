import ApusGraph

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let rope: [String: ReferenceFunction] = [
        "rope": { call in
            let (x, cosines, sines) = (call[0], call[1], call[2])
            let size = x.shape.last ?? 0
            let rotary = cosines.shape.last ?? 0
            let rows = Array(x.shape.dropLast())
            // Where in cos and sin the angles of each row of x begin.
            let target = rows + [rotary]
            let starts = Strides.offsets(
                rows, Array(Strides.broadcast(cosines.shape, to: target).dropLast()))
            var y = x.floats
            for (row, start) in starts.enumerated() {
                for column in 0..<rotary {
                    let isFirst = column < rotary / 2
                    let partner = x.floats[row * size + column + (isFirst ? rotary / 2 : -rotary / 2)]
                    let turned = (isFirst ? -partner : partner) * sines.floats[start + column]
                    y[row * size + column] =
                        x.floats[row * size + column] * cosines.floats[start + column] + turned
                }
            }
            return [call.result(y)]
        },
        "rope_table": { call in
            let frequencies = call[0].floats
            let scaling = call.float("scaling")
            var table: [Float] = []
            for position in 0..<call.int("positions") {
                // The angle is a `Float`, as the models were trained with; only its cos and sin are exact.
                let angles = frequencies.map { Double(Float(position) * $0) }
                table += angles.map { Float(Double(Float(cos($0))) * scaling) }
                table += angles.map { Float(Double(Float(sin($0))) * scaling) }
            }
            return [call.result(table)]
        },
    ]
}
