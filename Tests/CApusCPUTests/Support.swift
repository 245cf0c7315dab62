public import CApusCPU
public import Testing

/// The instruction sets whose kernels this CPU can run: every claim is tested on each of them.
let instructionSets: [apus_isa] = (0..<UInt32(APUS_ISA_COUNT)).map { apus_isa($0) }.filter {
    apus_kernels_for($0) != nil
}

let dtypes: [apus_dtype] = [APUS_F32, APUS_F16, APUS_BF16]

func kernels(_ isa: apus_isa) throws -> apus_kernels { try #require(apus_kernels_for(isa)).pointee }

extension apus_isa: @retroactive CustomTestStringConvertible {
    /// The name in test reports.
    public var testDescription: String { String(cString: apus_isa_name(self)) }
}

extension apus_dtype: @retroactive CustomTestStringConvertible {
    /// The name in test reports.
    public var testDescription: String { self == APUS_F32 ? "f32" : self == APUS_F16 ? "f16" : "bf16" }
}

/// Repeatable numbers (SplitMix64).
struct Numbers {
    var state: UInt64

    init(seed: UInt64 = 1) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number in -1...1.
    mutating func unit() -> Float { Float(next() >> 40) / Float(1 << 23) - 1 }

    mutating func array(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in unit() * scale } }
}

/// An array as a kernel sees it: the bytes of its dtype, and the numbers those bytes stand for.
struct Packed {
    let dtype: apus_dtype
    var bytes: [UInt8]
    var values: [Float]

    init(_ source: [Float], _ dtype: apus_dtype) {
        self.dtype = dtype
        switch dtype {
        case APUS_F16:
            let half = source.map { Float16($0) }
            values = half.map { Float($0) }
            bytes = half.withUnsafeBytes { Array($0) }
        case APUS_BF16:
            let half = source.map { bfloat16Bits($0) }
            values = half.map { Float(bitPattern: UInt32($0) << 16) }
            bytes = half.withUnsafeBytes { Array($0) }
        default:
            values = source
            bytes = source.withUnsafeBytes { Array($0) }
        }
    }
}

/// The upper half of an FP32, rounded to nearest even; a NaN becomes quiet.
func bfloat16Bits(_ x: Float) -> UInt16 {
    let u = x.bitPattern
    if x.isNaN { return UInt16(truncatingIfNeeded: u >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (u &+ 0x7fff &+ (u >> 16 & 1)) >> 16)
}

/// Gives `body` 64-byte aligned scratch full of NaN, so that reading what was not written shows.
func withScratch<R>(_ bytes: Int, _ body: (UnsafeMutableRawPointer) throws -> R) rethrows -> R {
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes + 64, alignment: 64)
    defer { scratch.deallocate() }
    scratch.initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes + 64)
    return try body(scratch)
}

/// The largest |got - want| relative to the largest |want|.
func error(_ got: [Float], _ want: [Double]) -> Double {
    let size = want.map { abs($0) }.max() ?? 0
    let worst = zip(got, want).map { $0.isNaN ? Double.infinity : abs(Double($0) - $1) }.max() ?? 0
    return size == 0 ? worst : worst / size
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
