import ApusGraph
import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let attention: [String: ReferenceFunction] = [
        "scaled_dot_product_attention": scaledDotProduct, "attention": scaledDotProduct,
    ]

    private static let scaledDotProduct: ReferenceFunction = { call throws(ApusError) in
        let (q, k, v) = (call[0], call[1], call[2])
        let (heads, steps, size) = (q.shape[1], q.shape[2], q.shape[3])
        let (kvHeads, keys) = (k.shape[1], k.shape[2])
        guard kvHeads > 0, heads % kvHeads == 0 else {
            throw ApusError(.mismatch, "\(heads) query heads and \(kvHeads) key heads do not go together")
        }
        let (isCausal, scale) = (call.bool("is_causal"), call.float("scale"))
        let (window, softcap) = (call.int("sliding_window"), call.float("softcap"))
        let mask = call.optional(3)
        let maskOffsets = mask.map {
            let target = [q.shape[0], heads, steps, keys]
            return Strides.offsets(target, Strides.broadcast($0.shape, to: target))
        }
        var y: [Float] = []
        for batch in 0..<q.shape[0] {
            for head in 0..<heads {
                let kvStart = (batch * kvHeads + head / (heads / kvHeads)) * keys * size
                for step in 0..<steps {
                    let row = (batch * heads + head) * steps + step
                    let query = q.floats[row * size..<(row + 1) * size]
                    // Queries are the last of the keys' positions.
                    let position = keys - steps + step
                    let end = isCausal ? max(min(position + 1, keys), 0) : keys
                    let first = window > 0 ? max(min(position + 1 - window, end), 0) : 0
                    var scores: [Double] = []
                    for key in first..<end {
                        var bias = 0.0
                        if let mask, let place = maskOffsets?[row * keys + key] {
                            bias = maskBias(mask, place)
                        }
                        let start = kvStart + key * size
                        // A key that is hidden is not read.
                        let isHidden = bias == -.infinity
                        var score = isHidden ? 0 : dot(query, k.floats[start..<start + size]) * scale
                        if softcap > 0 { score = softcap * tanh(score / softcap) }
                        scores.append(score + bias)
                    }
                    y += weightedSum(softmax(scores), size) { key in
                        v.floats[kvStart + (first + key) * size..<kvStart + (first + key + 1) * size]
                    }
                }
            }
        }
        return [call.result(y)]
    }

    /// What a mask adds to a score: its value, or for a boolean one nothing where it is true.
    private static func maskBias(_ mask: Tensor, _ place: Int) -> Double {
        mask.element.isFloat ? Double(mask.floats[place]) : mask.ints[place] != 0 ? 0 : -.infinity
    }

    /// Σ a·b of two rows.
    static func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                guard let x = a.baseAddress, let y = b.baseAddress else { return 0 }
                var (sum, index) = (0.0, 0)
                while index < min(a.count, b.count) {
                    sum += Double(x[index]) * Double(y[index])
                    index += 1
                }
                return sum
            }
        }
    }

    /// Σ weight·row over the rows with a weight; a row of weight 0 is not read, so that its NaN does not count.
    static func weightedSum(
        _ weights: [Double], _ size: Int, row: (Int) -> ArraySlice<Float>
    ) -> [Float] {
        var sum = [Double](repeating: 0, count: size)
        sum.withUnsafeMutableBufferPointer { sum in
            for (index, weight) in weights.enumerated() where weight != 0 {
                row(index).withUnsafeBufferPointer { values in
                    guard let values = values.baseAddress, let sum = sum.baseAddress else { return }
                    var column = 0
                    while column < size {
                        sum[column] += weight * Double(values[column])
                        column += 1
                    }
                }
            }
        }
        return sum.map { Float($0) }
    }
}
