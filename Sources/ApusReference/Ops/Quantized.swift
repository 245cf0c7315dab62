package import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let quantized: [String: ReferenceFunction] = [
        "dequantize": { call throws(ApusError) in
            let codes = QuantizedMatrix(call[0], call[1], call.optional(2), bits: call.int("bits"))
            return [call.result(try codes.values())]
        },
        "int4_groupwise_gemm": { call throws(ApusError) in try quantizedLinear(call, bits: 4) },
        "int8_linear": { call throws(ApusError) in try quantizedLinear(call, bits: 8) },
    ]

    /// The function of the Int4GroupwiseGemm plugin.
    package static let int4GroupwiseGemmFunction: ReferenceFunction = { call throws(ApusError) in
        try quantizedLinear(call, bits: 4)
    }

    private static func quantizedLinear(_ call: ReferenceCall, bits: Int) throws(ApusError) -> [Tensor] {
        let matrix = QuantizedMatrix(call[1], call[2], call.optional(3), bits: bits)
        let weight = try matrix.values()
        var x = call[0].floats
        if call.string("activations") == "int8" {
            RoundedActivations.round(&x, width: matrix.columns, group: matrix.group)
        }
        let m = call[0].shape.dropLast().reduce(1, *)
        return [
            call.result(
                multiply(x, weight, m, matrix.rows, matrix.columns, bias: call.optional(4)?.floats))
        ]
    }
}

/// Codes with their scales and zero points.
private struct QuantizedMatrix {
    let codes: Tensor
    let scales: Tensor
    let zeroPoints: Tensor?
    let bits: Int

    init(_ codes: Tensor, _ scales: Tensor, _ zeroPoints: Tensor?, bits: Int) {
        self.codes = codes
        self.scales = scales
        self.zeroPoints = zeroPoints
        self.bits = bits
    }

    var rows: Int { codes.shape[0] }
    var columns: Int { codes.shape[1] }
    /// Columns that share a scale.
    var group: Int { max(columns / max(scales.shape[0], 1), 1) }

    /// The numbers that the codes stand for, row by row.
    func values() throws(ApusError) -> [Float] {
        if bits < 8, let code = codes.ints.first(where: { $0 >> bits != 0 }) {
            throw ApusError(.invalidInput, "code \(code) does not fit \(bits) bits")
        }
        let middle = 1 << (bits - 1)
        var floats: [Float] = []
        floats.reserveCapacity(codes.ints.count)
        for row in 0..<rows {
            for column in 0..<columns {
                let place = column / group * rows + row
                let zero = zeroPoints?.ints[place] ?? middle
                floats.append(Float(codes.ints[row * columns + column] - zero) * scales.floats[place])
            }
        }
        return floats
    }
}

/// What quantised kernels make of their input: 8-bit codes with one scale for each row and group.
///
/// A group of the weights is cut into pieces of 128; the last may be shorter. With the largest magnitude a of a piece,
/// x becomes round(x · 127/a) · a/127, ties to even. A piece that holds an infinity or a NaN becomes NaN.
enum RoundedActivations {
    /// Most inputs that share a scale.
    static let piece = 128

    /// Rounds rows of `width` numbers.
    static func round(_ x: inout [Float], width: Int, group: Int) {
        guard width > 0 else { return }
        for row in stride(from: 0, to: x.count, by: width) {
            for start in stride(from: 0, to: width, by: group) {
                for first in stride(from: start, to: start + group, by: piece) {
                    roundPiece(&x, row + first..<row + min(first + piece, start + group))
                }
            }
        }
    }

    private static func roundPiece(_ x: inout [Float], _ range: Range<Int>) {
        var largest: Float = 0
        for index in range {
            // The order of the bit patterns is that of the magnitudes, with NaN above infinity.
            largest = Float(bitPattern: max(largest.bitPattern, x[index].magnitude.bitPattern))
        }
        guard largest.isFinite else {
            for index in range { x[index] = .nan }
            return
        }
        let factor = 127 / largest
        let scale = largest / 127
        for index in range {
            x[index] = factor.isFinite ? (x[index] * factor).rounded(.toNearestOrEven) * scale : 0
        }
    }
}
