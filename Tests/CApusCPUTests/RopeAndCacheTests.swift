import CApusCPU
import TestNumbers
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct RopeAndCacheTests {
    struct Case: CustomTestStringConvertible {
        var qHeads: Int, kvHeads: Int, dim: Int, rotary: Int, norm: Bool
        var testDescription: String { "\(qHeads)/\(kvHeads)/\(dim) rotary \(rotary)\(norm ? " norm" : "")" }
    }

    static let cases = [
        Case(qHeads: 4, kvHeads: 2, dim: 16, rotary: 16, norm: false),
        Case(qHeads: 3, kvHeads: 1, dim: 64, rotary: 64, norm: true),
        Case(qHeads: 2, kvHeads: 2, dim: 80, rotary: 32, norm: false),
        Case(qHeads: 2, kvHeads: 1, dim: 20, rotary: 14, norm: true),
        Case(qHeads: 2, kvHeads: 1, dim: 9, rotary: 0, norm: true),
    ]

    static func rotated(_ x: [Float], _ weight: [Float]?, _ cs: [Float], _ rotary: Int) -> [Double] {
        let mean = x.reduce(0) { $0 + Double($1) * Double($1) } / Double(x.count)
        var y = x.enumerated().map { i, v in
            weight.map { Double(v) / (mean + 1e-6).squareRoot() * Double($0[i]) } ?? Double(v)
        }
        let half = rotary / 2
        for i in 0..<half {
            let (low, high, c, s) = (y[i], y[i + half], Double(cs[i]), Double(cs[half + i]))
            (y[i], y[i + half]) = (low * c - high * s, high * c + low * s)
        }
        return y
    }

    @Test(arguments: instructionSets, cases)
    func agreesWithDoublePrecisionAndLeavesPaddingAlone(isa: apus_isa, c: Case) throws {
        let table = try kernels(isa)
        for dtype in cacheDtypes {
            var numbers = Numbers(seed: 7)
            let positions: [Int32] = [3, 0, -1, 5, 2], slots: [Int32] = [1, 0, 2, -1, 2]
            let batches: [Int32] = [0, 1, 0, 1, 1]
            let (tokens, capacity, width) = (5, 4, (c.qHeads + 2 * c.kvHeads) * c.dim)
            let ld = width + 3
            let qkv = numbers.array(tokens * ld), rope = numbers.array(2 * 6 * c.rotary)
            let qNorm = numbers.array(c.dim), kNorm = numbers.array(c.dim)
            var q = [Float](repeating: .nan, count: tokens * c.qHeads * c.dim)
            let cacheCount = 2 * 2 * c.kvHeads * capacity * c.dim
            var cache = Packed(
                heads: [Float](repeating: 42, count: cacheCount), capacity: capacity, dim: c.dim, dtype)
            let vAt = c.kvHeads * capacity * c.dim, size = [4, 2, 2, 1][Int(dtype.rawValue)]
            let headSize = capacity * (c.dim + (dtype == APUS_I8 ? 4 : 0))
            cache.bytes.withUnsafeMutableBytes { cache in
                qkv.withUnsafeBufferPointer { qkv in
                    var a = apus_rope()
                    a.qkv = qkv.baseAddress
                    a.ldqkv = ld
                    a.ldq = c.qHeads * c.dim
                    a.k_cache = cache.baseAddress
                    a.v_cache = cache.baseAddress! + c.kvHeads * headSize * size
                    a.kv_dtype = dtype
                    (a.kv_batch_stride, a.kv_head_stride, a.kv_row_stride) = (
                        2 * c.kvHeads * headSize, headSize, c.dim
                    )
                    a.kv_scale_offset = capacity * c.dim
                    (a.q_heads, a.kv_heads, a.head_dim, a.rotary_dim) = (c.qHeads, c.kvHeads, c.dim, c.rotary)
                    a.rope_batch_stride = 6 * c.rotary
                    a.norm_eps = 1e-6
                    q.withUnsafeMutableBufferPointer { q in
                        rope.withUnsafeBufferPointer { rope in
                            withOptional(c.norm ? qNorm : nil) { qn in
                                withOptional(c.norm ? kNorm : nil) { kn in
                                    positions.withUnsafeBufferPointer { p in
                                        slots.withUnsafeBufferPointer { s in
                                            batches.withUnsafeBufferPointer { b in
                                                a.q = q.baseAddress
                                                a.rope = rope.baseAddress
                                                (a.q_norm, a.k_norm) = (qn, kn)
                                                (a.positions, a.slots, a.batches) =
                                                    (p.baseAddress, s.baseAddress, b.baseAddress)
                                                table.rope_and_cache(&a, 0, 2)
                                                table.rope_and_cache(&a, 2, tokens)
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            let stored = cache.bytes.withUnsafeBytes { bytes in
                (0..<cacheCount).map { i -> Float in
                    switch dtype {
                    case APUS_F32: bytes.load(fromByteOffset: 4 * i, as: Float.self)
                    case APUS_F16: Float(bytes.load(fromByteOffset: 2 * i, as: Float16.self))
                    case APUS_I8:
                        Float(
                            bytes.load(
                                fromByteOffset: i / (capacity * c.dim) * headSize + i % (capacity * c.dim),
                                as: Int8.self))
                            * bytes.loadUnaligned(
                                fromByteOffset: i / (capacity * c.dim) * headSize + capacity * c.dim
                                    + i / c.dim % capacity * 4, as: Float.self)
                    default:
                        Float(bitPattern: UInt32(bytes.load(fromByteOffset: 2 * i, as: UInt16.self)) << 16)
                    }
                }
            }
            // Half a code of i8 is 1/254 of the largest.
            let tolerance = dtype == APUS_F32 ? 1e-6 : dtype == APUS_F16 ? 6e-4 : 5e-3
            var untouched = Set(0..<cacheCount)
            for t in 0..<tokens {
                let row = Array(qkv[t * ld..<t * ld + width])
                let gotQ = Array(q[t * c.qHeads * c.dim..<(t + 1) * c.qHeads * c.dim])
                if positions[t] < 0 {
                    #expect(gotQ.allSatisfy { $0 == 0 })
                    continue
                }
                let at = (Int(batches[t]) * 6 + Int(positions[t])) * c.rotary
                let cs = Array(rope[at..<at + c.rotary])
                func head(_ h: Int) -> [Float] { Array(row[h * c.dim..<(h + 1) * c.dim]) }
                let wantQ = (0..<c.qHeads).flatMap {
                    Self.rotated(head($0), c.norm ? qNorm : nil, cs, c.rotary)
                }
                #expect(error(gotQ, wantQ) < 1e-6)
                if slots[t] < 0 { continue }
                for h in 0..<c.kvHeads {
                    let at = Int(batches[t]) * 2 * vAt + (h * capacity + Int(slots[t])) * c.dim
                    let wantK = Self.rotated(head(c.qHeads + h), c.norm ? kNorm : nil, cs, c.rotary)
                    #expect(error(Array(stored[at..<at + c.dim]), wantK) < tolerance)
                    let wantV = head(c.qHeads + c.kvHeads + h).map { Double($0) }
                    #expect(error(Array(stored[at + vAt..<at + vAt + c.dim]), wantV) < tolerance)
                    untouched.subtract(at..<at + c.dim)
                    untouched.subtract(at + vAt..<at + vAt + c.dim)
                }
            }
            #expect(untouched.allSatisfy { abs(stored[$0] - 42) < 1e-5 })
        }
    }
}
