import CApusCPU
import TestNumbers

/// Seeded inputs of a product with plain weights, and the product in double precision.
struct LinearData {
    /// Rows of k inputs, k + 5 apart.
    let x: [Float]
    let w: Packed
    let bias: [Float]?
    /// y[m, n].
    let product: [Double]

    init(m rows: Int, n features: Int, k: Int, _ dtype: apus_dtype, hasBias: Bool) {
        var numbers = Numbers(seed: 3)
        let ldx = k + 5
        let x = numbers.array(rows * ldx)
        let w = Packed(numbers.array(features * k), dtype)
        let bias = hasBias ? numbers.array(features) : nil
        product = (0..<rows * features).map { i in
            let (m, n) = (i / features, i % features)
            return (0..<k).reduce(Double(bias?[n] ?? 0)) {
                $0 + Double(x[m * ldx + $1]) * Double(w.values[n * k + $1])
            }
        }
        (self.x, self.w, self.bias) = (x, w, bias)
    }
}
