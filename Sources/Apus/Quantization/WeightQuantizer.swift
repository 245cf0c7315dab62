import ApusGraph
import ApusSupport

/// Rounds rows of a weight to codes, choosing the scale of each group so that the squared error is least.
///
/// Candidates for a scale come from the largest magnitude of the group divided by numbers of ``divisors``: to clip the
/// largest a little lets all others be finer. Errors may be weighted by how strong each input is.
struct WeightQuantizer: Sendable {
    /// Bits, groups, zero points.
    let format: WeightFormat
    /// The type that scales are stored in; every candidate is rounded to it before it is judged.
    let scaleType: ElementType
    /// Number of inputs.
    let k: Int

    /// The numbers that the largest magnitude may be divided by; 7.5 spreads 15 steps over both signs.
    private static let divisors: [Float] = [7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11, 12]
    /// Shares of its range that a group with a zero point may keep.
    private static let shares: [Float] = [1, 0.96, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7]
    /// Adding and subtracting it rounds to the nearest integer, ties to even.
    private static let magic = SIMD8<Float>(repeating: 12_582_912)

    /// Inputs rounded up to whole vectors: the length of buffers, whose ends hold zeros.
    static func padded(_ k: Int) -> Int { (k + 7) / 8 * 8 }

    /// Number of scales of a row.
    var groupCount: Int { format.groupCount(k) }

    /// Rounds one row.
    /// - Parameters:
    ///   - row: [padded k] finite numbers, zeros behind the first k.
    ///   - importance: [padded k] weights of the squared errors, not negative.
    ///   - codes: [padded k] for the codes.
    ///   - scales: [groups] for the scales.
    ///   - zeros: [groups] for the codes of zero.
    func quantize(
        _ row: UnsafePointer<Float>, importance: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>,
        scales: UnsafeMutablePointer<Float>, zeros: UnsafeMutablePointer<UInt8>
    ) {
        let size = format.groupSize ?? Self.padded(k)
        for group in 0..<groupCount {
            let start = group * size
            let choice = choose(row + start, importance + start, size)
            scales[group] = choice.scale
            zeros[group] = UInt8(choice.zero)
            let inverse = 1 / choice.scale
            let (zero, highest) = (Float(choice.zero), Float(format.highestCode))
            for index in stride(from: start, to: start + size, by: 8) {
                let lanes = Self.load(row + index) * inverse
                let rounded = Self.rounded(lanes, low: -zero, high: highest - zero) + zero
                let bytes = SIMD8<UInt8>(truncatingIfNeeded: SIMD8<Int32>(rounded))
                for lane in 0..<8 { codes[index + lane] = bytes[lane] }
            }
        }
    }

    private struct Choice {
        var scale: Float
        var zero: Int
    }

    private func choose(
        _ values: UnsafePointer<Float>, _ importance: UnsafePointer<Float>, _ size: Int
    ) -> Choice {
        var (low, high) = (SIMD8<Float>(repeating: 0), SIMD8<Float>(repeating: 0))
        for index in stride(from: 0, to: size, by: 8) {
            let lanes = Self.load(values + index)
            low = pointwiseMin(low, lanes)
            high = pointwiseMax(high, lanes)
        }
        let (least, most) = (low.min(), high.max())
        let candidates = format.isSymmetric ? symmetric(max(most, -least)) : asymmetric(least, most)
        guard candidates.count > 1 else { return candidates[0] }
        var best = candidates[0]
        var bestError = Float.infinity
        for candidate in candidates {
            let error = error(values, importance, size, candidate)
            if error < bestError { (best, bestError) = (candidate, error) }
        }
        return best
    }

    private func symmetric(_ largest: Float) -> [Choice] {
        guard largest > 0 else { return [Choice(scale: 1, zero: format.middleCode)] }
        // Eight bits are so many that clipping brings nothing.
        let divisors = format.bits == 4 ? Self.divisors : [Float(format.middleCode - 1)]
        return divisors.map { Choice(scale: stored(largest / $0), zero: format.middleCode) }
    }

    private func asymmetric(_ least: Float, _ most: Float) -> [Choice] {
        guard most - least > 0 else { return [Choice(scale: 1, zero: 0)] }
        return Self.shares.map { share in
            let scale = stored((most - least) * share / Float(format.highestCode))
            let zero = (-least * share / scale).rounded(.toNearestOrEven)
            return Choice(scale: scale, zero: Int(min(max(zero, 0), Float(format.highestCode))))
        }
    }

    /// The scale as a checkpoint holds it: never so small that its inverse is infinite.
    private func stored(_ scale: Float) -> Float {
        switch scaleType {
        case .f16: max(Half(scale).float, Half(bits: 1).float)
        case .bf16: max(BFloat16(scale).float, .leastNormalMagnitude)
        default: max(scale, .leastNormalMagnitude)
        }
    }

    private func error(
        _ values: UnsafePointer<Float>, _ importance: UnsafePointer<Float>, _ size: Int, _ choice: Choice
    ) -> Float {
        let (zero, highest) = (Float(choice.zero), Float(format.highestCode))
        let inverse = 1 / choice.scale
        var sum = SIMD8<Float>(repeating: 0)
        for index in stride(from: 0, to: size, by: 8) {
            let lanes = Self.load(values + index)
            let rounded = Self.rounded(lanes * inverse, low: -zero, high: highest - zero)
            let difference = rounded * choice.scale - lanes
            sum += difference * difference * Self.load(importance + index)
        }
        return sum.sum()
    }

    @inline(__always)
    private static func rounded(_ lanes: SIMD8<Float>, low: Float, high: Float) -> SIMD8<Float> {
        let clamped = lanes.clamped(
            lowerBound: SIMD8(repeating: low), upperBound: SIMD8(repeating: high))
        return clamped + magic - magic
    }

    @inline(__always)
    private static func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
        UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
    }
}
