import ApusGraph

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
        "sum": { call in
            let x = call[0]
            let lines = lines(x.shape, call.axis("dim", rank: x.shape.count))
            if x.element.isFloat {
                return [
                    call.result(lines.map { line in Float(line.reduce(0.0) { $0 + Double(x.floats[$1]) }) })
                ]
            }
            return [call.result(ints: lines.map { line in line.reduce(0) { $0 &+ x.ints[$1] } })]
        },
        "any": { call in
            let lines = lines(call[0].shape, call.axis("dim", rank: call[0].shape.count))
            return [call.result(ints: lines.map { $0.contains { call[0].ints[$0] != 0 } ? 1 : 0 })]
        },
        "cumsum": { call in
            let x = call[0]
            var (floats, ints) = (x.floats, x.ints)
            for line in lines(x.shape, call.axis("dim", rank: x.shape.count)) {
                var (sum, count) = (0.0, 0)
                for place in line {
                    if x.element.isFloat {
                        sum += Double(x.floats[place])
                        floats[place] = Float(sum)
                    } else {
                        count &+= x.ints[place]
                        ints[place] = count
                    }
                }
            }
            return [x.element.isFloat ? call.result(floats) : call.result(ints: ints)]
        },
        "triu": triangle { row, column, diagonal in column - row >= diagonal },
        "tril": triangle { row, column, diagonal in column - row <= diagonal },
    ]

    /// The places of the elements along one axis, one list for each position of the other axes, in their order.
    private static func lines(_ shape: [Int], _ axis: Int) -> [[Int]] {
        let (outer, size, inner) = split(shape, axis)
        return (0..<outer).flatMap { o in
            (0..<inner).map { i in (0..<size).map { (o * size + $0) * inner + i } }
        }
    }

    private static func triangle(
        _ isKept: @escaping @Sendable (_ row: Int, _ column: Int, _ diagonal: Int) -> Bool
    ) -> ReferenceFunction {
        { call in
            let x = call[0]
            let (rows, columns) = (x.shape[x.shape.count - 2], x.shape[x.shape.count - 1])
            let diagonal = call.int("diagonal")
            func keeps(_ place: Int) -> Bool {
                isKept(place / columns % max(rows, 1), place % columns, diagonal)
            }
            if x.element.isFloat {
                return [call.result(x.floats.enumerated().map { keeps($0.offset) ? $0.element : 0 })]
            }
            return [call.result(ints: x.ints.enumerated().map { keeps($0.offset) ? $0.element : 0 })]
        }
    }

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
