public import CApusCPU
public import Testing

/// The instruction sets whose kernels this CPU can run: every claim is tested on each of them.
let instructionSets: [apus_isa] = (0..<UInt32(APUS_ISA_COUNT)).map { apus_isa($0) }.filter {
    apus_kernels_for($0) != nil
}

let dtypes: [apus_dtype] = [APUS_F32, APUS_F16, APUS_BF16]
/// What a KV cache may hold.
let cacheDtypes = dtypes + [APUS_I8]

func kernels(_ isa: apus_isa) throws -> apus_kernels { try #require(apus_kernels_for(isa)).pointee }

extension apus_isa: @retroactive CustomTestStringConvertible {
    /// The name in test reports.
    public var testDescription: String { String(cString: apus_isa_name(self)) }
}

extension apus_dtype: @retroactive CustomTestStringConvertible {
    /// The name in test reports.
    public var testDescription: String { ["f32", "f16", "bf16", "i8"][Int(rawValue)] }
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

    /// Heads of a cache, each of `capacity` rows of `dim` elements.
    ///
    /// Codes lie in front of the scales of their rows.
    init(heads source: [Float], capacity: Int, dim: Int, _ dtype: apus_dtype) {
        guard dtype == APUS_I8 else {
            self.init(source, dtype)
            return
        }
        self.init([], dtype)
        for head in 0..<source.count / (capacity * dim) {
            var scales: [Float] = []
            for row in 0..<capacity {
                let start = (head * capacity + row) * dim
                let (codes, scale) = quantized(Array(source[start..<start + dim]))
                values += codes.map { Float($0) * scale }
                bytes += codes.map { UInt8(bitPattern: $0) }
                scales.append(scale)
            }
            bytes += scales.withUnsafeBytes { Array($0) }
        }
    }
}

/// The codes of a row and their scale, max |x| / 127; a row with a NaN has a NaN as its scale.
func quantized(_ row: [Float]) -> (codes: [Int8], scale: Float) {
    guard !row.contains(where: \.isNaN) else { return (row.map { _ in -128 }, .nan) }
    let scale = (row.map { abs($0) }.max() ?? 0) / 127
    let inverse = scale == 0 ? 0 : 1 / scale
    return (row.map { Int8(($0 * inverse).rounded(.toNearestOrEven)) }, scale)
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
