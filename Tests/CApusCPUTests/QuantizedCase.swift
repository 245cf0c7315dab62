import CApusCPU
import TestNumbers
import Testing

/// Shape and form of one product with quantised weights.
struct QuantizedCase: CustomTestStringConvertible {
    var bits: Int32
    var m: Int, n: Int, k: Int, group: Int
    var hasZeros = false, hasBias = false
    var scales = APUS_F16

    var testDescription: String {
        "\(bits) bits \(m)x\(n)x\(k)/\(group)\(hasZeros ? " zeros" : "")\(hasBias ? " bias" : "") "
            + scales.testDescription
    }
}

/// Seeded inputs of a case, everything in memory that ends at a page which may not be touched.
final class QuantizedData {
    let c: QuantizedCase
    let x: [Float]
    let codes: [UInt8]
    let scales: [Float]
    let zeros: [UInt8]
    let bias: [Float]
    /// Integer codes and scales of the rows after a run of `quantize_rows`.
    var roundedCodes: [Int8] { xCodes.array(of: Int8.self) }
    var roundedScales: [Float] { xScales.array(of: Float.self) }
    var starts: [Int32] { xStarts.array(of: Int32.self) }
    let rowBytes: Int
    let pieces: Int

    private let memory: [GuardedMemory]
    private let xCodes: GuardedMemory
    private let xScales: GuardedMemory
    private let xStarts: GuardedMemory
    private let y: GuardedMemory
    private static let pad = 3

    init(_ c: QuantizedCase, seed: UInt64 = 7, x given: [Float]? = nil, codes givenCodes: [UInt8]? = nil)
        throws
    {
        var numbers = Numbers(seed: seed)
        self.c = c
        let groups = c.k / c.group
        x = given ?? numbers.array(c.m * c.k, scale: 3)
        codes =
            givenCodes
            ?? (0..<c.n * c.k).map { _ in
                UInt8(truncatingIfNeeded: numbers.next() >> 40 & ((1 << UInt64(c.bits)) - 1))
            }
        let packed = Packed((0..<groups * c.n).map { _ in 0.01 * (1.5 + numbers.unit()) }, c.scales)
        scales = packed.values
        zeros = (0..<groups * c.n).map { _ in
            UInt8(truncatingIfNeeded: numbers.next() >> 40 & ((1 << UInt64(c.bits)) - 1))
        }
        bias = numbers.array(c.n)
        rowBytes = apus_quantized_row_bytes(c.k)
        pieces = apus_quantized_pieces(c.k, c.group)

        let panels = (c.n + 15) / 16 * 16
        let bytes = c.scales == APUS_F32 ? 4 : 2
        let packedCodes = try GuardedMemory(count: apus_packed_codes_bytes(c.n, c.k, c.bits))
        let packedScales = try GuardedMemory(count: panels * groups * bytes)
        let packedZeros = try GuardedMemory(count: panels * groups)
        try #require(apus_pack_codes(codes, c.n, c.k, c.bits, packedCodes.base) == 1)
        apus_pack_groups(packed.bytes, bytes, groups, c.n, packedScales.base)
        apus_pack_groups(zeros, 1, groups, c.n, packedZeros.base)
        memory = [packedCodes, packedScales, packedZeros, try GuardedMemory(x), try GuardedMemory(bias)]
        xCodes = try GuardedMemory(count: c.m * rowBytes)
        xScales = try GuardedMemory(count: c.m * pieces * 4)
        xStarts = try GuardedMemory(count: c.m * pieces * 4)
        y = try GuardedMemory(count: (c.m * (c.n + Self.pad) - Self.pad) * 4)
    }

    private var arguments: apus_quantized_linear {
        var a = apus_quantized_linear()
        (a.codes, a.bits, a.n, a.k, a.group) = (UnsafeRawPointer(memory[0].base), c.bits, c.n, c.k, c.group)
        (a.scales, a.scale_dtype) = (UnsafeRawPointer(memory[1].base), c.scales)
        a.zeros = c.hasZeros ? UnsafePointer(memory[2].base.assumingMemoryBound(to: UInt8.self)) : nil
        a.x = UnsafePointer(memory[3].base.assumingMemoryBound(to: Float.self))
        a.bias = c.hasBias ? UnsafePointer(memory[4].base.assumingMemoryBound(to: Float.self)) : nil
        (a.ldx, a.m, a.ldy) = (c.k, c.m, c.n + Self.pad)
        a.x_codes = xCodes.base.assumingMemoryBound(to: Int8.self)
        a.x_scales = xScales.base.assumingMemoryBound(to: Float.self)
        a.x_starts = xStarts.base.assumingMemoryBound(to: Int32.self)
        a.y = y.base.assumingMemoryBound(to: Float.self)
        return a
    }

    /// The product by one instruction set, in ranges of features that end at `cuts`.
    func run(_ isa: apus_isa, isExact: Bool, cuts: [Int] = []) throws -> [Float] {
        let table = try kernels(isa)
        var a = arguments
        if !isExact { table.quantize_rows(&a, 0, c.m) }
        let edges = [0] + cuts + [c.n]
        for (first, last) in zip(edges, edges.dropFirst()).reversed() where first < last {
            guard isExact else {
                table.quantized_linear(&a, first, last)
                continue
            }
            withScratch(table.exact_linear_scratch_bytes(c.m, c.n, c.k)) {
                table.exact_linear(&a, first, last, $0)
            }
        }
        let values = y.array(of: Float.self)
        let ldy = c.n + Self.pad
        for m in 0..<c.m - 1 { try #require(values[m * ldy + c.n..<(m + 1) * ldy].allSatisfy { $0.isNaN }) }
        return (0..<c.m).flatMap { m in values[m * ldy..<m * ldy + c.n] }
    }

    /// The number that a code stands for.
    func weight(_ n: Int, _ k: Int) -> Double {
        let place = k / c.group * c.n + n
        let zero = c.hasZeros ? Int(zeros[place]) : 1 << (Int(c.bits) - 1)
        return Double(Int(codes[n * c.k + k]) - zero) * Double(scales[place])
    }

    /// The numbers [m, k] that the rounded inputs stand for.
    var roundedInputs: [Double] {
        let codes = roundedCodes, scales = roundedScales
        let piecesOfGroup = (c.group + 127) / 128
        return (0..<c.m * c.k).map {
            let (m, k) = ($0 / c.k, $0 % c.k)
            let piece = k / c.group * piecesOfGroup + k % c.group / 128
            return Double(codes[m * rowBytes + k]) * Double(scales[m * pieces + piece])
        }
    }

    /// The product in double precision, and the sum of the magnitudes that went into each element.
    func expected(isExact: Bool) -> (values: [Double], sizes: [Double]) {
        let inputs = isExact ? x.map(Double.init) : roundedInputs
        var values: [Double] = [], sizes: [Double] = []
        let weights = (0..<c.n * c.k).map { weight($0 / c.k, $0 % c.k) }
        for m in 0..<c.m {
            for n in 0..<c.n {
                var sum = c.hasBias ? Double(bias[n]) : 0
                var size = abs(sum)
                for k in 0..<c.k {
                    let product = inputs[m * c.k + k] * weights[n * c.k + k]
                    sum += product
                    size += abs(product)
                }
                values.append(sum)
                sizes.append(size)
            }
        }
        return (values, sizes)
    }
}
