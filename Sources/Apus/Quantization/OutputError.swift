import ApusGraph
import ApusSupport
import Dispatch
import Synchronization

/// The error that rounding a layer's weight makes in its outputs, measured on inputs of calibration text.
struct OutputError: Sendable {
    let weights: ScaledWeights
    let statistics: ActivationStatistics
    let threads: Int

    /// Rows that one piece of work rounds and multiplies.
    private static let blockRows = 8

    /// Σ (Q(W·s)·(x/s) − W·x)², and Σ (W·x)² if that is asked for, over all outputs and kept inputs x.
    /// - Parameters:
    ///   - layer: The layer.
    ///   - quantizer: Rounds.
    ///   - factors: [k] the factors s on the weight's columns.
    /// - Throws: What reading the weight throws.
    func measure(
        _ layer: LinearLayer, _ quantizer: WeightQuantizer, factors: [Float], withSignal: Bool = false
    ) throws(ApusError) -> (error: Double, signal: Double) {
        let (n, k, padded) = (layer.n, layer.k, WeightQuantizer.padded(layer.k))
        let importance = Self.importance(statistics.meanSquare, factors)
        let blocks = (n + Self.blockRows - 1) / Self.blockRows
        var sums = [SIMD2<Double>](repeating: .zero, count: blocks)
        try weights.withRows(of: layer.weight) { read throws(ApusError) in
            sums.withUnsafeMutableBufferPointer { sums in
                nonisolated(unsafe) let sums = sums
                let next = Atomic<Int>(0)
                DispatchQueue.concurrentPerform(iterations: threads) { _ in
                    let scratch = Scratch(rows: Self.blockRows, padded: padded, groups: quantizer.groupCount)
                    while true {
                        let block = next.add(1, ordering: .relaxed).oldValue
                        guard block < blocks else { return }
                        let rows = block * Self.blockRows..<min((block + 1) * Self.blockRows, n)
                        for (index, row) in rows.enumerated() {
                            let original = scratch.original + index * padded
                            read(row, original)
                            scratch.round(index, k, quantizer, importance, factors)
                        }
                        sums[block] = self.products(scratch, rows.count, withSignal)
                    }
                }
            }
        }
        // Blocks are summed in order: the result does not depend on the threads.
        let total = sums.reduce(SIMD2<Double>.zero, +)
        return (total[0], total[1])
    }

    /// How much an error of each scaled column counts: the mean square of what it is multiplied with.
    static func importance(_ meanSquare: [Float], _ factors: [Float]) -> [Float] {
        var result = [Float](repeating: 0, count: WeightQuantizer.padded(meanSquare.count))
        // A channel that calibration never saw still has to be rounded sensibly.
        let floor = (meanSquare.max() ?? 0) * 1e-6
        for index in meanSquare.indices {
            result[index] = max(max(meanSquare[index], floor) / (factors[index] * factors[index]), 1e-30)
        }
        return result
    }

    /// Σ (δ·x)² and Σ (w·x)² over the kept inputs, for the rows of a block.
    private func products(_ scratch: Scratch, _ rows: Int, _ withSignal: Bool) -> SIMD2<Double> {
        let width = statistics.width
        return statistics.rows.withUnsafeBufferPointer { inputs in
            var result = SIMD2<Double>.zero
            guard let base = inputs.baseAddress else { return result }
            for token in 0..<statistics.rowCount {
                let x = base + token * width
                for row in 0..<rows {
                    let offset = row * scratch.padded
                    let delta = Self.dot(scratch.delta + offset, x, width)
                    let output = withSignal ? Self.dot(scratch.original + offset, x, width) : 0
                    result += SIMD2(Double(delta * delta), Double(output * output))
                }
            }
            return result
        }
    }

    private static func dot(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int
    ) -> Float {
        let (x, y) = (UnsafeRawPointer(a), UnsafeRawPointer(b))
        var (even, odd) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
        var index = 0
        while index + 16 <= count {
            even +=
                x.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<Float>.self)
                * y.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<Float>.self)
            odd +=
                x.loadUnaligned(fromByteOffset: index * 4 + 32, as: SIMD8<Float>.self)
                * y.loadUnaligned(fromByteOffset: index * 4 + 32, as: SIMD8<Float>.self)
            index += 16
        }
        var sum = (even + odd).sum()
        while index < count {
            sum += a[index] * b[index]
            index += 1
        }
        return sum
    }
}

/// Memory of one worker for a block of rows.
private final class Scratch {
    let padded: Int
    /// [rows, padded] the weight as it is.
    let original: UnsafeMutablePointer<Float>
    /// [rows, padded] what rounding adds to it.
    let delta: UnsafeMutablePointer<Float>
    private let scaled: UnsafeMutablePointer<Float>
    private let codes: UnsafeMutablePointer<UInt8>
    private let scales: UnsafeMutablePointer<Float>
    private let zeros: UnsafeMutablePointer<UInt8>

    init(rows: Int, padded: Int, groups: Int) {
        self.padded = padded
        original = .allocate(capacity: rows * padded)
        original.initialize(repeating: 0, count: rows * padded)
        delta = .allocate(capacity: rows * padded)
        delta.initialize(repeating: 0, count: rows * padded)
        scaled = .allocate(capacity: padded)
        scaled.initialize(repeating: 0, count: padded)
        codes = .allocate(capacity: padded)
        scales = .allocate(capacity: groups)
        zeros = .allocate(capacity: groups)
    }

    deinit {
        for memory in [original, delta, scaled, scales] { memory.deallocate() }
        codes.deallocate()
        zeros.deallocate()
    }

    /// Rounds a row that was read, with factors on its columns.
    func round(
        _ row: Int, _ k: Int, _ quantizer: WeightQuantizer, _ importance: [Float], _ factors: [Float]
    ) {
        let (original, delta) = (original + row * padded, delta + row * padded)
        for index in 0..<k { scaled[index] = original[index] * factors[index] }
        quantizer.quantize(scaled, importance: importance, codes: codes, scales: scales, zeros: zeros)
        let size = quantizer.format.groupSize ?? padded
        for index in 0..<k {
            let group = index / size
            let value = Float(Int(codes[index]) - Int(zeros[group])) * scales[group]
            delta[index] = value / factors[index] - original[index]
        }
    }
}
