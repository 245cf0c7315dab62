import CApusCPU
import TestNumbers
import Testing

@Suite struct LinearTests {
    struct Shape: CustomTestStringConvertible {
        var m: Int, n: Int, k: Int
        var testDescription: String { "\(m)x\(n)x\(k)" }
    }

    /// One row, few rows, many rows; sizes below, at and beyond vectors, tiles and blocks.
    static let shapes = [
        Shape(m: 1, n: 1, k: 1), Shape(m: 1, n: 7, k: 33), Shape(m: 1, n: 65, k: 130),
        Shape(m: 2, n: 9, k: 64),
        Shape(m: 3, n: 5, k: 17), Shape(m: 7, n: 34, k: 100), Shape(m: 8, n: 3, k: 48),
        Shape(m: 9, n: 1, k: 3),
        Shape(m: 9, n: 33, k: 31), Shape(m: 13, n: 67, k: 257), Shape(m: 26, n: 48, k: 96),
        Shape(m: 11, n: 520, k: 18),
    ]

    static func run(
        _ isa: apus_isa, _ shape: Shape, _ x: [Float], _ w: Packed, _ bias: [Float]?, cuts: [Int]
    ) throws -> [Float] {
        let table = try kernels(isa)
        let ldx = x.count / shape.m, ldy = shape.n + 3
        var y = [Float](repeating: -7, count: shape.m * ldy)
        w.bytes.withUnsafeBytes { w8 in
            x.withUnsafeBufferPointer { x in
                y.withUnsafeMutableBufferPointer { y in
                    (bias ?? []).withUnsafeBufferPointer { b in
                        var a = apus_linear()
                        a.w = w8.baseAddress
                        a.dtype = w.dtype
                        (a.n, a.k, a.ldw, a.m) = (shape.n, shape.k, shape.k, shape.m)
                        (a.ldx, a.ldy) = (ldx, ldy)
                        a.x = x.baseAddress
                        a.y = y.baseAddress
                        a.bias = bias == nil ? nil : b.baseAddress
                        let bytes = table.linear_scratch_bytes(shape.m, shape.n, shape.k)
                        let edges = [0] + cuts + [shape.n]
                        for (first, last) in zip(edges, edges.dropFirst()) where first < last {
                            withScratch(bytes) { table.linear(&a, first, last, $0) }
                        }
                    }
                }
            }
        }
        for m in 0..<shape.m { try #require(y[m * ldy + shape.n..<(m + 1) * ldy].allSatisfy { $0 == -7 }) }
        return (0..<shape.m).flatMap { m in y[m * ldy..<m * ldy + shape.n] }
    }

    @Test(arguments: shapes)
    func agreesWithDoublePrecision(shape: Shape) throws {
        for dtype in dtypes {
            for hasBias in [false, true] {
                let data = LinearData(m: shape.m, n: shape.n, k: shape.k, dtype, hasBias: hasBias)
                for isa in instructionSets {
                    let got = try Self.run(isa, shape, data.x, data.w, data.bias, cuts: [])
                    #expect(
                        error(got, data.product) < 2e-6,
                        "\(isa.testDescription), \(dtype.testDescription), bias \(hasBias)")
                }
            }
        }
    }

    @Test(arguments: instructionSets, shapes)
    func doesNotDependOnTheRanges(isa: apus_isa, shape: Shape) throws {
        var numbers = Numbers(seed: 4)
        let x = numbers.array(shape.m * shape.k)
        let w = Packed(numbers.array(shape.n * shape.k), APUS_F16)
        let whole = try Self.run(isa, shape, x, w, nil, cuts: [])
        let odd = [1, 3, 6, 7, 20, 33].filter { $0 < shape.n }
        #expect(try bits(Self.run(isa, shape, x, w, nil, cuts: odd)) == bits(whole))
    }

    @Test(arguments: instructionSets)
    func givesARowTheSameBitsAmongFewOrManyRows(isa: apus_isa) throws {
        for (counts, k) in [(1...8, 100), (9...30, 270)] {
            var numbers = Numbers(seed: 5)
            let (n, most) = (21, counts.upperBound)
            let x = numbers.array(most * k)
            let w = Packed(numbers.array(n * k), APUS_BF16)
            let all = try Self.run(isa, Shape(m: most, n: n, k: k), x, w, nil, cuts: [])
            for m in counts {
                let some = try Self.run(isa, Shape(m: m, n: n, k: k), Array(x[..<(m * k)]), w, nil, cuts: [])
                #expect(bits(some) == bits(Array(all[..<(m * n)])), "m = \(m)")
            }
        }
    }
}
