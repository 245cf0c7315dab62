import CApusCPU
import TestNumbers
import Testing

@Suite struct ConvertTests {
    static func converted(
        _ isa: apus_isa, _ bytes: [UInt8], _ from: apus_dtype, _ to: apus_dtype, _ count: Int
    )
        throws -> [UInt8]
    {
        let table = try kernels(isa)
        var out = [UInt8](repeating: 0xaa, count: count * (to == APUS_F32 ? 4 : 2) + 4)
        bytes.withUnsafeBytes { src in
            out.withUnsafeMutableBytes { table.convert(src.baseAddress, from, $0.baseAddress, to, count) }
        }
        #expect(out.suffix(4) == [0xaa, 0xaa, 0xaa, 0xaa])
        return Array(out.dropLast(4))
    }

    /// All 65536 bit patterns, and FP32 around every rounding boundary of both halves.
    static let halves: [UInt8] = (0..<65536).map { UInt16($0) }.withUnsafeBytes { Array($0) }
    static let singles: [Float] = {
        var numbers = Numbers(seed: 2)
        let near = (0..<65536).flatMap { half -> [UInt32] in
            let x = Float(Float16(bitPattern: UInt16(half))).bitPattern
            return half % 9 == 0 ? [x, x &+ 0xfff, x &+ 0x1000, x &+ 0x1001] : [x &+ 0x1000]
        }
        return near.map { Float(bitPattern: $0) }
            + (0..<4001).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next())) }
    }()

    @Test(arguments: instructionSets)
    func widensEveryHalfExactly(isa: apus_isa) throws {
        let wide16 = try Self.converted(isa, Self.halves, APUS_F16, APUS_F32, 65536)
        let wideB16 = try Self.converted(isa, Self.halves, APUS_BF16, APUS_F32, 65536)
        let got16 = wide16.withUnsafeBytes { Array($0.bindMemory(to: UInt32.self)) }
        let gotB16 = wideB16.withUnsafeBytes { Array($0.bindMemory(to: UInt32.self)) }
        var wrong = 0
        for half in 0..<65536 {
            let want = Float(Float16(bitPattern: UInt16(half)))
            let same = want.isNaN ? Float(bitPattern: got16[half]).isNaN : got16[half] == want.bitPattern
            wrong += same ? 0 : 1
            wrong += gotB16[half] == UInt32(half) << 16 ? 0 : 1
        }
        #expect(wrong == 0)
    }

    @Test(arguments: instructionSets)
    func narrowsToNearestEven(isa: apus_isa) throws {
        let source = Self.singles.withUnsafeBytes { Array($0) }
        let f16 = try Self.converted(isa, source, APUS_F32, APUS_F16, Self.singles.count)
        let bf16 = try Self.converted(isa, source, APUS_F32, APUS_BF16, Self.singles.count)
        let got16 = f16.withUnsafeBytes { Array($0.bindMemory(to: UInt16.self)) }
        let gotB16 = bf16.withUnsafeBytes { Array($0.bindMemory(to: UInt16.self)) }
        var wrong: [Float] = []
        for (i, x) in Self.singles.enumerated() {
            let half = Float16(bitPattern: got16[i])
            let right = x.isNaN ? half.isNaN : got16[i] == Float16(x).bitPattern
            if !right || gotB16[i] != bfloat16Bits(x) { wrong.append(x) }
        }
        #expect(wrong.isEmpty)
    }

    @Test(arguments: instructionSets)
    func convertsBetweenHalvesThroughSingle(isa: apus_isa) throws {
        let single = try Self.converted(APUS_ISA_BASELINE, Self.halves, APUS_F16, APUS_F32, 65536)
        let want = try Self.converted(APUS_ISA_BASELINE, single, APUS_F32, APUS_BF16, 65536)
        #expect(try Self.converted(isa, Self.halves, APUS_F16, APUS_BF16, 65536) == want)
        let wide = try Self.converted(APUS_ISA_BASELINE, Self.halves, APUS_BF16, APUS_F32, 65536)
        let narrow = try Self.converted(APUS_ISA_BASELINE, wide, APUS_F32, APUS_F16, 65536)
        #expect(try Self.converted(isa, Self.halves, APUS_BF16, APUS_F16, 65536) == narrow)
        #expect(try Self.converted(isa, Self.halves, APUS_F16, APUS_F16, 65536) == Self.halves)
    }

    @Test(arguments: instructionSets, dtypes)
    func embeddingCopiesTheRowsOfItsIds(isa: apus_isa, dtype: apus_dtype) throws {
        let table = try kernels(isa)
        var numbers = Numbers()
        let dim = 37, packed = Packed(numbers.array(11 * dim), dtype), ids: [Int32] = [10, 0, 3, 3]
        var y = [Float](repeating: 0, count: ids.count * dim)
        packed.bytes.withUnsafeBytes { table.embedding($0.baseAddress, dtype, dim, ids, &y, ids.count) }
        let want: [Float] = ids.flatMap { packed.values[Int($0) * dim..<Int($0 + 1) * dim] }
        #expect(y == want)
    }
}
