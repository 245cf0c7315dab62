import ApusRuntime

/// What one or two models made of one token of a text.
struct TokenScore: Sendable, Hashable {
    /// Negative logarithm of the probability of the token that came.
    var nats = 0.0
    /// The same by the second model.
    var otherNats = 0.0
    /// Kullback–Leibler divergence of the second model's distribution from the first one's.
    var divergence = 0.0
    /// Whether both models find the same token likeliest.
    var isSameTop = true

    /// Scores a token that was foretold by `logits`, [V].
    init(_ logits: UnsafePointer<Float>, count: Int, target: Int32) {
        nats = LogSoftmax(logits, count: count).nats(of: logits[Int(target)])
    }

    /// Scores a token that two models foretold.
    init(_ logits: UnsafePointer<Float>, _ others: UnsafePointer<Float>, count: Int, target: Int32) {
        let first = LogSoftmax(logits, count: count)
        let second = LogSoftmax(others, count: count)
        nats = first.nats(of: logits[Int(target)])
        otherNats = second.nats(of: others[Int(target)])
        isSameTop = first.index == second.index
        // Σ p ln(p/q) = Σ p (a − b) − ln Σ eᵃ + ln Σ eᵇ, with a and b counted from their largest.
        var sum = BlockSum()
        let (top, otherTop) = (first.largest, second.largest)
        BlockSum.forEachLane(logits, others, count: count) { a, b in
            let shifted = a - top
            let weights = exponential(shifted)
            let products = weights * (shifted - (b - otherTop))
            // What has no weight counts for nothing, however far apart the logits are.
            sum.add(products.replacing(with: 0, where: weights .== 0))
        }
        divergence = max(sum.total / first.sum - first.logarithm + second.logarithm, 0)
        if !nats.isFinite || !otherNats.isFinite { divergence = .nan }
    }
}

/// The largest of some logits and the logarithm of the sum of their exponentials.
struct LogSoftmax {
    /// The first index of the largest logit.
    let index: Int
    /// The largest logit.
    let largest: Float
    /// Σ e^(x − largest).
    let sum: Double
    /// Its natural logarithm.
    let logarithm: Double

    /// Looks at all logits; the result is not a number if one of them is not.
    init(_ logits: UnsafePointer<Float>, count: Int) {
        guard let top = Maximum(UnsafeBufferPointer(start: logits, count: count)) else {
            (index, largest, sum, logarithm) = (-1, .nan, .nan, .nan)
            return
        }
        index = top.index
        largest = top.value
        var total = BlockSum()
        BlockSum.forEachLane(logits, nil, count: count) { a, _ in total.add(exponential(a - top.value)) }
        sum = total.total
        logarithm = Statistics.logarithm(sum)
    }

    /// Negative logarithm of the probability of a logit among them.
    func nats(of logit: Float) -> Double { logarithm - (Double(logit) - Double(largest)) }
}

/// A sum in double precision of lanes in single precision, of which short runs are added before they are widened.
struct BlockSum {
    private var run = SIMD8<Float>(repeating: 0)
    private var length = 0
    private var widened = 0.0

    /// Lanes that are added in single precision: their error stays below that of the terms.
    private static let runLength = 16

    /// Adds eight numbers.
    @inline(__always)
    mutating func add(_ lanes: SIMD8<Float>) {
        run += lanes
        length += 1
        if length == Self.runLength {
            widened += Self.sum(run)
            run = SIMD8(repeating: 0)
            length = 0
        }
    }

    /// The sum of all numbers.
    var total: Double { widened + Self.sum(run) }

    private static func sum(_ lanes: SIMD8<Float>) -> Double {
        (0..<8).reduce(0.0) { $0 + Double(lanes[$1]) }
    }

    /// Calls `body` with all numbers of one or two rows, eight at a time; the last are filled up with −∞.
    @inline(__always)
    static func forEachLane(
        _ first: UnsafePointer<Float>, _ second: UnsafePointer<Float>?, count: Int,
        _ body: (SIMD8<Float>, SIMD8<Float>) -> Void
    ) {
        let other = UnsafeRawPointer(second ?? first)
        let first = UnsafeRawPointer(first)
        let whole = count / 8 * 8
        for index in stride(from: 0, to: whole, by: 8) {
            body(
                first.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<Float>.self),
                other.loadUnaligned(fromByteOffset: index * 4, as: SIMD8<Float>.self))
        }
        guard whole < count else { return }
        var (a, b) = (SIMD8<Float>(repeating: -.infinity), SIMD8<Float>(repeating: -.infinity))
        for index in whole..<count {
            a[index - whole] = first.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
            b[index - whole] = other.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
        }
        body(a, b)
    }
}
