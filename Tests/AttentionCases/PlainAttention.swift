#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Attention with a KV cache in double precision, as a textbook writes it: the truth of these tests.
///
/// It keeps whole sequences of keys and values and shares nothing with the plugin: no layout, no phases, no kernels.
package struct PlainAttention {
    /// A token in the cache: its position, and K after RoPE and V, [Hkv, D] each.
    package struct Entry: Sendable {
        let position: Int
        let key: [Double]
        let value: [Double]
    }

    let c: PluginCase
    /// Angle of one position for each pair of each sequence.
    let frequencies: [[Double]]
    let qNorm: [Double]
    let kNorm: [Double]
    /// Cache of each sequence, by slot.
    var entries: [[Entry]]

    static let normEps = 1e-6

    /// RMS norm with a weight.
    private func normed(_ x: [Double], _ weight: [Double]) -> [Double] {
        guard c.hasNorm else { return x }
        let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
        return zip(x, weight).map { $0 * $1 / (mean + Self.normEps).squareRoot() }
    }

    /// Rotates pairs (i, i + R/2) of a head by the angles of a position.
    private func rotated(_ x: [Double], _ sequence: Int, _ position: Int) -> [Double] {
        var y = x
        let half = c.rotaryDims / 2
        for (i, frequency) in frequencies[sequence].enumerated() {
            // The plugin is given cosines and sines in single precision.
            let cosine = Double(Float(cos(Double(position) * frequency)))
            let sine = Double(Float(sin(Double(position) * frequency)))
            y[i] = x[i] * cosine - x[i + half] * sine
            y[i + half] = x[i + half] * cosine + x[i] * sine
        }
        return y
    }

    /// The heads of a packed row: queries, and the entry to remember.
    func heads(_ row: [Float], _ sequence: Int, position: Int) -> (queries: [[Double]], entry: Entry) {
        func head(_ index: Int) -> [Double] {
            row[index * c.dim..<(index + 1) * c.dim].map(Double.init)
        }
        let queries = (0..<c.q).map { rotated(normed(head($0), qNorm), sequence, position) }
        let keys = (0..<c.kv).flatMap { rotated(normed(head(c.q + $0), kNorm), sequence, position) }
        let values = (0..<c.kv).flatMap { head(c.q + c.kv + $0) }
        return (queries, Entry(position: position, key: keys, value: values))
    }

    /// The output row [Hq, D] of a token over the entries that it sees.
    func attend(_ queries: [[Double]], _ seen: [Entry]) -> [Double] {
        var output: [Double] = []
        for (h, query) in queries.enumerated() {
            let at = h / (c.q / c.kv) * c.dim
            var scores = seen.map { entry in
                let score = dot(query, entry.key, at) * c.scoreScale
                return c.softcap > 0 ? c.softcap * tanh(score / c.softcap) : score
            }
            let top = scores.max() ?? 0
            for index in scores.indices { scores[index] = exp(scores[index] - top) }
            let sum = scores.reduce(0, +)
            var row = [Double](repeating: 0, count: c.dim)
            row.withUnsafeMutableBufferPointer { row in
                for (weight, entry) in zip(scores, seen) {
                    entry.value.withUnsafeBufferPointer { value in
                        var i = 0
                        while i < row.count {
                            row[i] += weight * value[at + i]
                            i += 1
                        }
                    }
                }
            }
            output += seen.isEmpty ? row : row.map { $0 / sum }
        }
        return output
    }

    private func dot(_ x: [Double], _ y: [Double], _ offset: Int) -> Double {
        x.withUnsafeBufferPointer { x in
            y.withUnsafeBufferPointer { y in
                var sum = 0.0
                var i = 0
                while i < x.count {
                    sum += x[i] * y[offset + i]
                    i += 1
                }
                return sum
            }
        }
    }
}
