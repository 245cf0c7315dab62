import ApusGraph
import ApusSupport
import Dispatch
import Synchronization

/// A weight in the layout `pack-quantized` of compressed-tensors.
///
/// `weight_packed` i32 [N, ⌈K·bits/32⌉]: code k of a row lies in bits from (k·bits) mod 32 on of word k·bits / 32.
/// `weight_scale` [N, G]. `weight_zero_point` i32 [⌈N·bits/32⌉, G], packed in the same way down the columns; only
/// where groups choose their zero. `weight_shape` i64 [2].
///
/// Source: compressed_tensors/compressors/pack_quantized, 0.20.
struct PackedWeight {
    let module: LinearLayer
    let quantizer: WeightQuantizer

    private var format: WeightFormat { quantizer.format }
    private var groups: Int { quantizer.groupCount }
    private var wordsPerRow: Int { (module.k * format.bits + 31) / 32 }
    private var zeroRows: Int { (module.n * format.bits + 31) / 32 }

    /// Names and types of the tensors, in the order in which they are written.
    var tensors: [(name: String, type: TensorType)] {
        var tensors = [
            ("\(module.name).weight_packed", TensorType(.i32, [module.n, wordsPerRow])),
            ("\(module.name).weight_scale", TensorType(quantizer.scaleType, [module.n, groups])),
        ]
        if !format.isSymmetric {
            tensors.append(("\(module.name).weight_zero_point", TensorType(.i32, [zeroRows, groups])))
        }
        tensors.append(("\(module.name).weight_shape", TensorType(.i64, [2])))
        return tensors.map { (name: $0.0, type: $0.1) }
    }

    /// Bytes of all tensors.
    var byteCount: Int {
        tensors.reduce(0) { $0 + ($1.type.constantShape ?? []).reduce($1.type.element.byteCount, *) }
    }

    /// The rounded weight.
    struct Contents {
        fileprivate let rows: PackedRows
        /// The bytes of the tensors behind the first.
        fileprivate let others: [[UInt8]]
        /// Squared error of the weight over its squares.
        let error: Double

        /// Writes the bytes of all tensors, in order.
        func write(_ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void) throws(ApusError) {
            try body(UnsafeRawBufferPointer(rows.packed))
            for bytes in others {
                try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
                    try body(UnsafeRawBufferPointer(buffer))
                }
            }
        }
    }

    /// Rounds all rows, on several threads.
    /// - Parameter importance: [padded K] how much an error of each column counts.
    /// - Throws: `.invalidInput` for a number that is not finite, with its place.
    func contents(
        _ weights: ScaledWeights, importance: [Float], threads: Int
    ) throws(ApusError) -> Contents {
        let (n, k) = (module.n, module.k)
        let rows = PackedRows(n, rowBytes: wordsPerRow * 4, groups: groups)
        let fault = Mutex<(row: Int, column: Int)?>(nil)
        try weights.withRows(of: module.weight) { read throws(ApusError) in
            let next = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: threads) { _ in
                let line = RowMemory(WeightQuantizer.padded(k))
                while true {
                    let row = next.add(1, ordering: .relaxed).oldValue
                    guard row < n else { return }
                    read(row, line.values)
                    if let column = line.firstFault(k) {
                        fault.withLock { known in
                            if known.map({ row < $0.row }) ?? true { known = (row, column) }
                        }
                        return
                    }
                    let (scales, zeros) = (rows.scales + row * groups, rows.zeros + row * groups)
                    quantizer.quantize(
                        line.values, importance: importance, codes: line.codes, scales: scales, zeros: zeros)
                    rows.errors[row] = line.error(k, format, scales, zeros)
                    pack(line.codes, into: rows.packed, row)
                }
            }
        }
        if let place = fault.withLock({ $0 }) {
            throw ApusError(
                .invalidInput,
                "weight '\(module.weight)': expected finite numbers, got one that is not at [\(place.row), \(place.column)]; "
                    + "the checkpoint is damaged")
        }
        var scales: [UInt8] = []
        scales.reserveCapacity(n * groups * quantizer.scaleType.byteCount)
        for index in 0..<n * groups {
            ScaledWeights.append(rows.scales[index], quantizer.scaleType, to: &scales)
        }
        var others = [scales]
        if !format.isSymmetric { others.append(packedZeros(rows.zeros)) }
        others.append([n, k].flatMap { withUnsafeBytes(of: Int64($0).littleEndian, Array.init) })
        let sums = (0..<n).reduce(SIMD2<Double>.zero) { $0 + rows.errors[$1] }
        return Contents(rows: rows, others: others, error: sums[1] > 0 ? sums[0] / sums[1] : 0)
    }

    private func pack(
        _ codes: UnsafePointer<UInt8>, into packed: UnsafeMutableBufferPointer<UInt8>, _ row: Int
    ) {
        let start = row * wordsPerRow * 4
        if format.bits == 8 {
            for index in 0..<module.k { packed[start + index] = codes[index] }
        } else {
            for index in 0..<module.k { packed[start + index / 2] |= codes[index] << (4 * UInt8(index & 1)) }
        }
    }

    private func packedZeros(_ zeros: UnsafePointer<UInt8>) -> [UInt8] {
        let perWord = 32 / format.bits
        var words = [UInt32](repeating: 0, count: zeroRows * groups)
        for row in 0..<module.n {
            let shift = UInt32(row % perWord * format.bits)
            for group in 0..<groups {
                words[row / perWord * groups + group] |= UInt32(zeros[row * groups + group]) << shift
            }
        }
        return words.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
    }
}

/// The rows of a rounded weight; workers write rows of their own.
private final class PackedRows: @unchecked Sendable {
    /// [n, rowBytes] packed codes.
    let packed: UnsafeMutableBufferPointer<UInt8>
    /// [n, groups].
    let scales: UnsafeMutablePointer<Float>
    /// [n, groups].
    let zeros: UnsafeMutablePointer<UInt8>
    /// [n] squared error, and squares, of each row.
    let errors: UnsafeMutablePointer<SIMD2<Double>>

    init(_ n: Int, rowBytes: Int, groups: Int) {
        packed = .allocate(capacity: n * rowBytes)
        packed.initialize(repeating: 0)
        scales = .allocate(capacity: n * groups)
        scales.initialize(repeating: 0, count: n * groups)
        zeros = .allocate(capacity: n * groups)
        zeros.initialize(repeating: 0, count: n * groups)
        errors = .allocate(capacity: n)
        errors.initialize(repeating: .zero, count: n)
    }

    deinit {
        packed.deallocate()
        scales.deallocate()
        zeros.deallocate()
        errors.deallocate()
    }
}

/// One worker's row.
private final class RowMemory {
    let values: UnsafeMutablePointer<Float>
    let codes: UnsafeMutablePointer<UInt8>

    init(_ padded: Int) {
        values = .allocate(capacity: padded)
        values.initialize(repeating: 0, count: padded)
        codes = .allocate(capacity: padded)
        codes.initialize(repeating: 0, count: padded)
    }

    deinit {
        values.deallocate()
        codes.deallocate()
    }

    func firstFault(_ k: Int) -> Int? { (0..<k).first { !values[$0].isFinite } }

    /// Squared error and squares of the row.
    func error(
        _ k: Int, _ format: WeightFormat, _ scales: UnsafePointer<Float>, _ zeros: UnsafePointer<UInt8>
    ) -> SIMD2<Double> {
        let size = format.groupSize ?? k
        var result = SIMD2<Double>.zero
        for start in stride(from: 0, to: k, by: size) {
            let (scale, zero) = (scales[start / size], Int(zeros[start / size]))
            var sums = SIMD2<Float>.zero
            for index in start..<min(start + size, k) {
                let difference = Float(Int(codes[index]) - zero) * scale - values[index]
                sums += SIMD2(difference * difference, values[index] * values[index])
            }
            result += SIMD2(Double(sums[0]), Double(sums[1]))
        }
        return result
    }
}
