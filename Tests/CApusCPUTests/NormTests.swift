import CApusCPU
import TestNumbers
import Testing

@Suite struct NormTests {
    static let widths = [1, 2, 15, 16, 64, 67, 130, 896]

    /// Row by row: (x - mean) / sqrt(variance + eps) * w + b, without the mean for an RMS norm.
    static func reference(
        _ x: [Float], _ w: [Float]?, _ b: [Float]?, eps: Float, dim: Int, centred: Bool
    ) -> [Double] {
        stride(from: 0, to: x.count, by: dim).flatMap { start -> [Double] in
            let row = x[start..<start + dim].map { Double($0) }
            let mean = centred ? row.reduce(0, +) / Double(dim) : 0
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(dim)
            return row.enumerated().map { i, value in
                (value - mean) / (variance + Double(eps)).squareRoot() * Double(w?[i] ?? 1)
                    + Double(b?[i] ?? 0)
            }
        }
    }

    @Test(arguments: instructionSets, widths)
    func rmsNormAgreesWithDoublePrecision(isa: apus_isa, dim: Int) throws {
        let table = try kernels(isa)
        var numbers = Numbers()
        let x = numbers.array(3 * dim, scale: 5), w = numbers.array(dim)
        for weight in [w, nil] {
            var y = [Float](repeating: 0, count: x.count)
            withOptional(weight) { table.rms_norm(x, $0, 1e-6, &y, 3, dim) }
            #expect(error(y, Self.reference(x, weight, nil, eps: 1e-6, dim: dim, centred: false)) < 1e-6)
        }
    }

    @Test(arguments: instructionSets, widths)
    func layerNormAgreesWithDoublePrecisionAboutALargeMean(isa: apus_isa, dim: Int) throws {
        let table = try kernels(isa)
        var numbers = Numbers()
        let x = numbers.array(3 * dim).map { $0 + 8 }, w = numbers.array(dim), b = numbers.array(dim)
        var y = [Float](repeating: 0, count: x.count)
        table.layer_norm(x, w, b, 1e-5, &y, 3, dim)
        #expect(error(y, Self.reference(x, w, b, eps: 1e-5, dim: dim, centred: true)) < 4e-6)
        table.layer_norm(x, nil, nil, 1e-5, &y, 3, dim)
        #expect(error(y, Self.reference(x, nil, nil, eps: 1e-5, dim: dim, centred: true)) < 4e-6)
    }

    @Test(arguments: instructionSets, widths)
    func addingFirstGivesTheSumAndTheNormOfTheSum(isa: apus_isa, dim: Int) throws {
        let table = try kernels(isa)
        var numbers = Numbers()
        let x = numbers.array(2 * dim), delta = numbers.array(2 * dim), w = numbers.array(dim)
        let added = zip(x, delta).map { $0 + $1 }
        var want = [Float](repeating: 0, count: x.count)
        var sum = x, y = want
        table.rms_norm(added, w, 1e-6, &want, 2, dim)
        sum.withUnsafeMutableBufferPointer { s in  // in place, as the residual stream is used
            table.add_rms_norm(s.baseAddress, delta, w, 1e-6, s.baseAddress, &y, 2, dim)
        }
        #expect(bits(sum) == bits(added))
        #expect(bits(y) == bits(want))

        sum = x
        table.layer_norm(added, w, delta, 1e-6, &want, 2, dim)
        sum.withUnsafeMutableBufferPointer { s in
            table.add_layer_norm(s.baseAddress, delta, w, delta, 1e-6, s.baseAddress, &y, 2, dim)
        }
        #expect(bits(sum) == bits(added))
        #expect(bits(y) == bits(want))
    }
}

/// Calls `body` with the array's address, or NULL for nil.
func withOptional<R>(_ array: [Float]?, _ body: (UnsafePointer<Float>?) throws -> R) rethrows -> R {
    guard let array else { return try body(nil) }
    return try array.withUnsafeBufferPointer { try body($0.baseAddress) }
}
