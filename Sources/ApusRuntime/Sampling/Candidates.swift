/// The tokens a draw may still take, with weights in proportion to their probabilities; shared by a batch.
///
/// Cost: all memory is allocated once. Every step is linear in the number of candidates; nothing is sorted.
final class Candidates {
    /// Logits that penalties and bias may change, [V].
    let logits: UnsafeMutableBufferPointer<Float>
    private(set) var count = 0
    private let ids: UnsafeMutablePointer<Int32>
    private let weights: UnsafeMutablePointer<Float>
    private let vocabularySize: Int

    init(vocabularySize: Int) {
        self.vocabularySize = vocabularySize
        // Whole vectors are written at the end of the weights.
        let capacity = vocabularySize + 8
        logits = .allocate(capacity: capacity)
        ids = .allocate(capacity: capacity)
        weights = .allocate(capacity: capacity)
        logits.initialize(repeating: 0)
        ids.initialize(repeating: 0, count: capacity)
        weights.initialize(repeating: 0, count: capacity)
    }

    deinit {
        logits.deallocate()
        ids.deallocate()
        weights.deallocate()
    }

    /// Id and weight of a candidate.
    subscript(_ index: Int) -> (id: Int32, weight: Float) { (ids[index], weights[index]) }

    /// Starts with all tokens, or with those not below the `topK`-th largest logit if that is above 0.
    func gather(_ source: UnsafeBufferPointer<Float>, largest: Float, temperature: Float, topK: Int) {
        if topK > 0, topK < source.count {
            let threshold = self.threshold(source, topK)
            count = 0
            for index in source.indices where source[index] >= threshold {
                ids[count] = Int32(truncatingIfNeeded: index)
                weights[count] = source[index]
                count += 1
            }
        } else {
            count = source.count
            for index in 0..<count {
                ids[index] = Int32(truncatingIfNeeded: index)
                weights[index] = source[index]
            }
        }
        let raw = UnsafeMutableRawPointer(weights)
        for block in 0..<(count + 7) / 8 {
            let offset = block * 8
            let lanes = raw.loadUnaligned(fromByteOffset: offset * 4, as: SIMD8<Float>.self)
            raw.storeBytes(
                of: exponential((lanes - largest) / temperature), toByteOffset: offset * 4,
                as: SIMD8<Float>.self)
        }
    }

    /// The k-th largest value, by a heap of the k largest so far with the least of them on top.
    private func threshold(_ source: UnsafeBufferPointer<Float>, _ k: Int) -> Float {
        let heap = weights
        for index in 0..<k { heap[index] = source[index] }
        for step in 1...k { sink(heap, k - step, k) }
        for index in k..<source.count where source[index] > heap[0] {
            heap[0] = source[index]
            sink(heap, 0, k)
        }
        return heap[0]
    }

    private func sink(_ heap: UnsafeMutablePointer<Float>, _ start: Int, _ count: Int) {
        var parent = start
        let value = heap[start]
        while 2 * parent + 1 < count {
            var child = 2 * parent + 1
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < value else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = value
    }

    /// Sum of all weights.
    var total: Double {
        var sums = (0.0, 0.0, 0.0, 0.0)
        for block in 0..<count / 4 {
            let index = block * 4
            sums.0 += Double(weights[index])
            sums.1 += Double(weights[index + 1])
            sums.2 += Double(weights[index + 2])
            sums.3 += Double(weights[index + 3])
        }
        for index in count / 4 * 4..<count { sums.0 += Double(weights[index]) }
        return (sums.0 + sums.1) + (sums.2 + sums.3)
    }

    /// Keeps candidates of at least this weight.
    func keep(atLeast weight: Float) {
        var kept = 0
        for index in 0..<count where weights[index] >= weight {
            ids[kept] = ids[index]
            weights[kept] = weights[index]
            kept += 1
        }
        count = kept
    }

    /// Keeps the smallest set of heaviest candidates whose share of the weight reaches `share`, at least one.
    ///
    /// Of equal weights the lower id counts as heavier.
    func keep(reaching share: Float) {
        let sum = total
        // What weighs less than (1 − share)/count of the sum lies, with all that is lighter, outside the set.
        let bound = (1 - Double(share)) * sum / Double(count)
        keep(atLeast: Float(bound * 0.999_999))
        var (low, high) = (0, count)
        var before = 0.0
        let limit = Double(share) * sum
        // A quickselect by weight: the end of the set lies in low..<high, and all before low belong to it.
        while high - low > 1 {
            let pivot = self.pivot(low, high)
            let middle = partition(low, high, around: pivot)
            // The pivot is the lightest of low...middle.
            var mass = 0.0
            for index in low..<middle { mass += Double(weights[index]) }
            if before + mass >= limit {
                high = max(middle, low + 1)
            } else if before + mass + Double(weights[middle]) >= limit {
                (low, high) = (middle, middle + 1)
            } else {
                before += mass + Double(weights[middle])
                low = middle + 1
            }
        }
        count = max(high, 1)
    }

    /// Whether candidate `a` comes before candidate `b` in the order of weight.
    private func isHeavier(_ a: Int, _ b: Int) -> Bool {
        weights[a] > weights[b] || (weights[a] == weights[b] && ids[a] < ids[b])
    }

    private func exchange(_ a: Int, _ b: Int) {
        (ids[a], ids[b]) = (ids[b], ids[a])
        (weights[a], weights[b]) = (weights[b], weights[a])
    }

    /// The median of first, middle and last.
    private func pivot(_ low: Int, _ high: Int) -> Int {
        let (a, b, c) = (low, low + (high - low) / 2, high - 1)
        if isHeavier(a, b) { return isHeavier(b, c) ? b : isHeavier(a, c) ? c : a }
        return isHeavier(a, c) ? a : isHeavier(b, c) ? c : b
    }

    /// Moves what is heavier than the pivot before it; returns the pivot's new place.
    private func partition(_ low: Int, _ high: Int, around pivot: Int) -> Int {
        exchange(pivot, high - 1)
        var place = low
        for index in low..<high - 1 where isHeavier(index, high - 1) {
            exchange(index, place)
            place += 1
        }
        exchange(place, high - 1)
        return place
    }

    /// Draws a candidate, each in proportion to its weight; `uniform` is in [0, 1).
    func draw(_ uniform: Double) -> Int32 {
        let target = uniform * total
        var sum = 0.0
        var last = 0
        for index in 0..<count where weights[index] > 0 {
            sum += Double(weights[index])
            last = index
            if sum > target { break }
        }
        return ids[last]
    }
}
