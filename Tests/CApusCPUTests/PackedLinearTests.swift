import CApusCPU
import TestNumbers
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct PackedLinearTests {
    struct Shape: CustomTestStringConvertible {
        var m: Int, n: Int, k: Int
        var testDescription: String { "\(m)x\(n)x\(k)" }
    }

    /// Rows that stream and rows that are blocked; features and inputs below, at and beyond panels, tiles and blocks.
    static let shapes = [
        Shape(m: 1, n: 1, k: 1), Shape(m: 1, n: 71, k: 33), Shape(m: 1, n: 130, k: 515),
        Shape(m: 2, n: 9, k: 64), Shape(m: 3, n: 85, k: 257), Shape(m: 5, n: 64, k: 256),
        Shape(m: 7, n: 34, k: 101), Shape(m: 8, n: 49, k: 48), Shape(m: 9, n: 1, k: 3),
        Shape(m: 13, n: 67, k: 257), Shape(m: 26, n: 48, k: 96), Shape(m: 200, n: 40, k: 300),
        Shape(m: 4, n: 17, k: 0),
    ]

    /// Memory whose end is the end of what may be read.
    private final class Guarded {
        let base: UnsafeMutableRawPointer
        private let mapping: UnsafeMutableRawPointer
        private let bytes: Int

        init(_ count: Int) throws {
            let page = 4096
            bytes = (count + page - 1) / page * page + page
            mapping = try #require(
                mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
            try #require(mprotect(mapping + bytes - page, page, PROT_NONE) == 0)
            base = mapping + bytes - page - count
        }

        deinit { munmap(mapping, bytes) }
    }

    private static func packed(_ w: Packed, _ shape: Shape) throws -> Guarded {
        let dtype = Int32(w.dtype.rawValue)
        let panels = try Guarded(apus_panel_bytes(dtype, shape.n, shape.k))
        // In two parts, as two threads would.
        let middle = shape.n / 32 * 16
        w.bytes.withUnsafeBytes { rows in
            for (first, last) in [(0, middle), (middle, shape.n)] {
                apus_pack_panels(
                    dtype, rows.baseAddress, shape.k, shape.n, shape.k, first, last, panels.base)
            }
        }
        return panels
    }

    static func run(
        _ isa: apus_isa, _ shape: Shape, _ x: [Float], _ w: Packed, _ bias: [Float]?, cuts: [Int] = []
    ) throws -> [Float] {
        let table = try kernels(isa)
        let panels = try packed(w, shape)
        let ldx = x.count / shape.m, ldy = shape.n + 3
        var y = [Float](repeating: -7, count: shape.m * ldy)
        x.withUnsafeBufferPointer { x in
            y.withUnsafeMutableBufferPointer { y in
                (bias ?? []).withUnsafeBufferPointer { b in
                    var a = apus_packed_linear()
                    a.w = UnsafeRawPointer(panels.base)
                    a.dtype = w.dtype
                    (a.n, a.k, a.m, a.ldx, a.ldy) = (shape.n, shape.k, shape.m, ldx, ldy)
                    a.x = x.baseAddress
                    a.y = y.baseAddress
                    a.bias = bias == nil ? nil : b.baseAddress
                    let edges = [0] + cuts + [shape.n]
                    for (first, last) in zip(edges, edges.dropFirst()) where first < last {
                        withScratch(table.packed_linear_scratch_bytes(shape.m, shape.k)) {
                            table.packed_linear(&a, first, last, $0)
                        }
                    }
                }
            }
        }
        withExtendedLifetime(panels) {}
        for m in 0..<shape.m { try #require(y[m * ldy + shape.n..<(m + 1) * ldy].allSatisfy { $0 == -7 }) }
        return (0..<shape.m).flatMap { m in y[m * ldy..<m * ldy + shape.n] }
    }

    @Test(arguments: shapes)
    func agreesWithDoublePrecision(shape: Shape) throws {
        for dtype in dtypes {
            for hasBias in [false, true] {
                let data = LinearData(m: shape.m, n: shape.n, k: shape.k, dtype, hasBias: hasBias)
                for isa in instructionSets {
                    let got = try Self.run(isa, shape, data.x, data.w, data.bias)
                    #expect(
                        error(got, data.product) < 2e-6,
                        "\(isa.testDescription), \(dtype.testDescription), bias \(hasBias)")
                }
            }
        }
    }

    @Test(arguments: instructionSets, shapes)
    func doesNotDependOnTheRanges(isa: apus_isa, shape: Shape) throws {
        for dtype in dtypes where shape.k > 0 {
            var numbers = Numbers(seed: 4)
            let x = numbers.array(shape.m * shape.k)
            let w = Packed(numbers.array(shape.n * shape.k), dtype)
            let whole = try Self.run(isa, shape, x, w, nil)
            let cuts = [16, 32, 80].filter { $0 < shape.n }
            #expect(try bits(Self.run(isa, shape, x, w, nil, cuts: cuts)) == bits(whole))
        }
    }

    @Test(arguments: instructionSets)
    func givesARowTheSameBitsAmongAnyNumberOfRows(isa: apus_isa) throws {
        for dtype in dtypes {
            var numbers = Numbers(seed: 5)
            let (n, k, most) = (53, 517, 41)
            let x = numbers.array(most * k)
            let w = Packed(numbers.array(n * k), dtype)
            let all = try Self.run(isa, Shape(m: most, n: n, k: k), x, w, nil)
            for m in Array(1...14) + [23, 24, 40] {
                let some = try Self.run(isa, Shape(m: m, n: n, k: k), Array(x[..<(m * k)]), w, nil)
                #expect(bits(some) == bits(Array(all[..<(m * n)])), "m = \(m)")
            }
        }
    }

    @Test(arguments: dtypes, shapes) func packingKeepsEveryBit(dtype: apus_dtype, shape: Shape) throws {
        var numbers = Numbers(seed: 6)
        let width = dtype == APUS_F32 ? 4 : 2
        var w = Packed([], dtype)
        // Any bits, NaN among them.
        w.bytes = (0..<shape.n * shape.k * width).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
        let panels = try Self.packed(w, shape)
        for n in 0..<shape.n {
            var row = [UInt8](repeating: 0, count: shape.k * width)
            row.withUnsafeMutableBytes {
                apus_panel_row(Int32(dtype.rawValue), panels.base, n, shape.k, $0.baseAddress)
            }
            #expect(row == Array(w.bytes[n * shape.k * width..<(n + 1) * shape.k * width]))
        }
    }
}
