/// The largest of some logits.
package struct Maximum {
    /// Index of the first logit that has the largest value.
    package var index: Int
    /// The largest value.
    package var value: Float

    /// Finds the first largest of `values`; nil if there is none, because one is not a number or no one is finite.
    ///
    /// Cost: one pass for the value and one up to the index, both vectors wide.
    package init?(_ values: UnsafeBufferPointer<Float>) {
        typealias Lanes = SIMD16<Float>
        let width = Lanes.scalarCount
        guard let base = values.baseAddress else { return nil }
        let blocks = values.count / width
        let raw = UnsafeRawPointer(base)
        var best = Lanes(repeating: -.infinity)
        // A sum keeps the trace of anything that is not a number.
        var trace = Lanes(repeating: 0)
        for block in 0..<blocks {
            let lanes = raw.loadUnaligned(fromByteOffset: block * 64, as: Lanes.self)
            best.replace(with: lanes, where: lanes .> best)
            trace += lanes * 0
        }
        var top = best.max()
        for index in blocks * width..<values.count {
            top = max(top, values[index])
            trace[0] += values[index] * 0
        }
        let isSuspect = trace.sum().isNaN
        guard top.isFinite, !isSuspect || !values.contains(where: \.isNaN) else { return nil }

        var first = 0
        let target = Lanes(repeating: top)
        while first + width <= values.count,
            !any(raw.loadUnaligned(fromByteOffset: first * 4, as: Lanes.self) .== target)
        {
            first += width
        }
        while first < values.count, values[first] != top { first += 1 }
        index = first
        value = top
    }
}
