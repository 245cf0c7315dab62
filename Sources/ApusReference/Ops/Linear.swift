import ApusGraph

extension ReferenceFunctions {
    static let linear: [String: ReferenceFunction] = [
        "linear": { call in
            let (x, weight) = (call[0], call[1])
            let (n, k) = (weight.shape[0], weight.shape[1])
            let m = x.shape.dropLast().reduce(1, *)
            return [call.result(multiply(x.floats, weight.floats, m, n, k, bias: call.optional(2)?.floats))]
        },
        "addmm": { call in
            let (bias, x, weight) = (call[0], call[1], call[2])
            let (m, k, n) = (x.shape[0], x.shape[1], weight.shape[1])
            let columns = transposed(weight.floats[...], k, n)
            if bias.shape == [n] {
                return [call.result(multiply(x.floats, columns, m, n, k, bias: bias.floats))]
            }
            let product = multiply(x.floats, columns, m, n, k)
            let places = Strides.offsets([m, n], Strides.broadcast(bias.shape, to: [m, n]))
            return [call.result(Loops.map(product, Array(product.indices), bias.floats, places, +))]
        },
        "matmul": { call in
            let (a, b) = (call[0], call[1])
            let shape = call.shapes[0]
            let (m, n) = (shape[shape.count - 2], shape[shape.count - 1])
            let k = a.shape[a.shape.count - 1]
            let batch = Array(shape.dropLast(2))
            // Matrices are counted, so that the steps come out in whole matrices.
            let starts = { (shape: [Int]) in
                Strides.offsets(batch, Strides.broadcast(Array(shape.dropLast(2)), to: batch))
            }
            var y: [Float] = []
            for (i, j) in zip(starts(a.shape), starts(b.shape)) {
                let rows = Array(a.floats[i * m * k..<(i + 1) * m * k])
                let columns = transposed(b.floats[j * k * n..<(j + 1) * k * n], k, n)
                y += multiply(rows, columns, m, n, k)
            }
            return [call.result(y)]
        },
    ]

    /// x·wᵀ + bias summed in `Double`; x [M, K], w [N, K], bias [N], result [M, N].
    static func multiply(
        _ x: [Float], _ w: [Float], _ m: Int, _ n: Int, _ k: Int, bias: [Float]? = nil
    ) -> [Float] {
        var y = [Float](repeating: 0, count: m * n)
        var (rows, weights) = (Loops.widened(x), [Double](repeating: 0, count: k))
        rows.withUnsafeMutableBufferPointer { rows in
            weights.withUnsafeMutableBufferPointer { weights in
                y.withUnsafeMutableBufferPointer { y in
                    guard let x = rows.baseAddress, let row = weights.baseAddress, let y = y.baseAddress
                    else { return }
                    // Weights in the outer loop: each is read and converted once.
                    for column in 0..<n {
                        Loops.widen(w, from: column * k, count: k, into: row)
                        let shift = bias.map { Double($0[column]) } ?? 0
                        for index in 0..<m {
                            y[index * n + column] = Float(dot(x + index * k, row, k) + shift)
                        }
                    }
                }
            }
        }
        return y
    }

    /// Σ a·b in four partial sums.
    static func dot(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
        var (s0, s1, s2, s3) = (0.0, 0.0, 0.0, 0.0)
        var index = 0
        while index + 4 <= count {
            s0 += a[index] * b[index]
            s1 += a[index + 1] * b[index + 1]
            s2 += a[index + 2] * b[index + 2]
            s3 += a[index + 3] * b[index + 3]
            index += 4
        }
        while index < count {
            s0 += a[index] * b[index]
            index += 1
        }
        return (s0 + s1) + (s2 + s3)
    }

    private static func transposed(_ matrix: ArraySlice<Float>, _ rows: Int, _ columns: Int) -> [Float] {
        Loops.gather(Array(matrix), Strides.offsets([columns, rows], [1, columns]))
    }
}
