#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let reductions: [String: ReferenceFunction] = [
        "mean": { call in
            let x = call[0]
            let (outer, size, inner) = split(x.shape, call.axis("dim", rank: x.shape.count))
            var y: [Float] = []
            for o in 0..<outer {
                for i in 0..<inner {
                    var sum = 0.0
                    for s in 0..<size { sum += Double(x.floats[(o * size + s) * inner + i]) }
                    y.append(Float(sum / Double(size)))
                }
            }
            return [call.result(y)]
        },
        "softmax": { call in
            let x = call[0]
            let (outer, size, inner) = split(x.shape, call.axis("dim", rank: x.shape.count))
            var y = x.floats
            for o in 0..<outer {
                for i in 0..<inner {
                    let places = (0..<size).map { (o * size + $0) * inner + i }
                    for (place, p) in zip(places, softmax(places.map { Double(x.floats[$0]) })) {
                        y[place] = Float(p)
                    }
                }
            }
            return [call.result(y)]
        },
    ]

    /// e^x / Σ e^x; x = -∞ gets 0, and so does everything if nothing is larger.
    static func softmax(_ x: [Double]) -> [Double] {
        let largest = x.max() ?? 0
        if largest == -.infinity { return x.map { _ in 0 } }
        let powers = x.map { exp($0 - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    /// The shape seen as [outer, size of the axis, inner].
    private static func split(_ shape: [Int], _ axis: Int) -> (outer: Int, size: Int, inner: Int) {
        (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
    }
}
