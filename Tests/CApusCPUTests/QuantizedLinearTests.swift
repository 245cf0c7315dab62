import CApusCPU
import TestNumbers
import Testing

@Suite struct QuantizedLinearTests {
    /// One row, few rows, a tile and more; groups of 128, 64, 32 and less, of all inputs, of inputs that fill no word;
    /// features that fill no panel.
    static let cases = [
        QuantizedCase(bits: 4, m: 1, n: 16, k: 128, group: 128),
        QuantizedCase(
            bits: 4, m: 1, n: 131, k: 256, group: 64, hasZeros: true, hasBias: true, scales: APUS_BF16),
        QuantizedCase(bits: 4, m: 2, n: 67, k: 96, group: 32, hasBias: true, scales: APUS_F32),
        QuantizedCase(bits: 4, m: 3, n: 1, k: 8, group: 8, hasZeros: true),
        QuantizedCase(bits: 4, m: 5, n: 35, k: 384, group: 384, hasBias: true),
        QuantizedCase(bits: 4, m: 13, n: 50, k: 192, group: 192, hasZeros: true),
        QuantizedCase(bits: 4, m: 7, n: 32, k: 13, group: 13, scales: APUS_F32),
        QuantizedCase(bits: 4, m: 26, n: 33, k: 40, group: 8, hasZeros: true, hasBias: true),
        QuantizedCase(bits: 8, m: 1, n: 70, k: 300, group: 300, hasBias: true),
        QuantizedCase(bits: 8, m: 4, n: 33, k: 256, group: 128, hasZeros: true),
        QuantizedCase(bits: 8, m: 12, n: 7, k: 36, group: 12, hasZeros: true, scales: APUS_BF16),
        QuantizedCase(bits: 8, m: 19, n: 48, k: 129, group: 129, scales: APUS_F32),
    ]

    @Test(arguments: instructionSets, cases)
    func agreesWithDoublePrecision(isa: apus_isa, c: QuantizedCase) throws {
        let data = try QuantizedData(c)
        for isExact in [false, true] {
            let got = try data.run(isa, isExact: isExact)
            let want = data.expected(isExact: isExact)
            let wrong = got.indices.first {
                !(abs(Double(got[$0]) - want.values[$0]) <= 1e-6 * want.sizes[$0])
            }
            #expect(
                wrong == nil,
                "\(isExact ? "exact" : "rounded") [\((wrong ?? 0) / c.n), \((wrong ?? 0) % c.n)]")
        }
    }

    @Test(arguments: instructionSets, cases)
    func doesNotDependOnTheRanges(isa: apus_isa, c: QuantizedCase) throws {
        let data = try QuantizedData(c)
        for isExact in [false, true] {
            let whole = try data.run(isa, isExact: isExact)
            let parts = try data.run(isa, isExact: isExact, cuts: [16, 48, 64].filter { $0 < c.n })
            #expect(bits(parts) == bits(whole))
        }
    }

    @Test(arguments: instructionSets, [4, 8] as [Int32])
    func givesARowTheSameBitsAmongFewOrManyRows(isa: apus_isa, width: Int32) throws {
        let form = QuantizedCase(bits: width, m: 130, n: 50, k: 160, group: 32, hasZeros: true)
        let whole = try QuantizedData(form)
        for (isExact, counts) in [(false, Array(1...30) + [64, 129]), (true, [1, 2, 3])] {
            var many = form
            many.m = isExact ? 4 : 130
            let all = try QuantizedData(
                many, x: Array(whole.x[..<(many.m * form.k)]), codes: whole.codes
            ).run(isa, isExact: isExact)
            for m in counts {
                var few = form
                few.m = m
                let some = try QuantizedData(few, x: Array(whole.x[..<(m * form.k)]), codes: whole.codes)
                #expect(
                    try bits(some.run(isa, isExact: isExact)) == bits(Array(all[..<(m * form.n)])), "m = \(m)"
                )
            }
        }
    }

    @Test(arguments: instructionSets, cases)
    func roundsRowsToTheSameBitsEverywhere(isa: apus_isa, c: QuantizedCase) throws {
        let data = try QuantizedData(c)
        _ = try data.run(isa, isExact: false)
        let (codes, scales) = (data.roundedCodes, data.roundedScales)
        _ = try data.run(APUS_ISA_BASELINE, isExact: false)
        #expect(codes == data.roundedCodes)
        #expect(bits(scales) == bits(data.roundedScales))
        // Half a step of the largest number of the piece, which is at most 3.
        let worst = zip(data.roundedInputs, data.x).map { abs($0 - Double($1)) }.max() ?? 0
        #expect(worst <= 3.0 / 254 + 1e-6)
    }

    @Test(arguments: instructionSets)
    func sumsOfTheLargestProductsDoNotOverflow(isa: apus_isa) throws {
        for width in [4, 8] as [Int32] {
            let c = QuantizedCase(
                bits: width, m: 6, n: 32, k: 512, group: 512, hasZeros: true, scales: APUS_F32)
            for sign in [1, -1] as [Float] {
                let most = UInt8(truncatingIfNeeded: 1 << Int(width) - 1)
                let data = try QuantizedData(
                    c, x: [Float](repeating: 5 * sign, count: c.m * c.k),
                    codes: [UInt8](repeating: most, count: c.n * c.k))
                let got = try data.run(isa, isExact: false)
                let want = data.expected(isExact: false)
                #expect(
                    zip(got, zip(want.values, want.sizes)).allSatisfy {
                        abs(Double($0) - $1.0) <= 1e-6 * $1.1
                    })
            }
        }
    }

    @Test(arguments: instructionSets)
    func badNumbersSpoilTheirRowAlone(isa: apus_isa) throws {
        let c = QuantizedCase(bits: 4, m: 6, n: 20, k: 256, group: 128)
        var numbers = Numbers(seed: 9)
        var x = numbers.array(c.m * c.k)
        x[1 * c.k + 200] = .nan
        x[2 * c.k + 3] = .infinity
        x[3 * c.k + 3] = -.infinity
        for k in 0..<c.k { x[4 * c.k + k] = k % 2 == 0 ? -0.0 : 1e-40 }
        let y = try QuantizedData(c, x: x).run(isa, isExact: false)
        for m in 0..<c.m {
            let row = y[m * c.n..<(m + 1) * c.n]
            switch m {
            case 1, 2, 3: #expect(row.allSatisfy { $0.isNaN }, "row \(m)")
            case 4: #expect(row.allSatisfy { $0 == 0 }, "too small for a scale")
            default: #expect(row.allSatisfy { $0.isFinite && $0 != 0 }, "row \(m)")
            }
        }
    }

    @Test func codesComeBackFromTheirPanelsAndLargerOnesAreRefused() throws {
        var numbers = Numbers(seed: 2)
        for (bits, n, k) in [(4, 16, 8), (4, 37, 21), (8, 5, 3), (8, 33, 64)] as [(Int32, Int, Int)] {
            var codes = (0..<n * k).map { _ in
                UInt8(truncatingIfNeeded: numbers.next() >> 20 & ((1 << UInt64(bits)) - 1))
            }
            let panels = try GuardedMemory(count: apus_packed_codes_bytes(n, k, bits))
            #expect(apus_pack_codes(codes, n, k, bits, panels.base) == 1)
            var back = [UInt8](repeating: 0xee, count: n * k)
            apus_unpack_codes(panels.base, n, k, bits, &back)
            #expect(back == codes)
            codes[n * k - 1] = 16
            #expect(apus_pack_codes(codes, n, k, bits, panels.base) == (bits == 4 ? 0 : 1))
        }
    }

    @Test(arguments: instructionSets)
    func probesCountTheirOperations(isa: apus_isa) throws {
        let table = try kernels(isa)
        #expect(table.dot_probe(10) * 3 == table.dot_probe(30))
        #expect(table.dot_probe(1) > 0)
    }
}
