/// Loops over whole tensors, written so that they are quick without an optimiser too: tests run debug builds.
enum Loops {
    /// f of each element.
    static func map(_ x: [Float], _ function: (Float) -> Float) -> [Float] {
        [Float](unsafeUninitializedCapacity: x.count) { buffer, initialized in
            x.withUnsafeBufferPointer { x in
                guard let y = buffer.baseAddress, let base = x.baseAddress else { return }
                var index = 0
                while index < x.count {
                    (y + index).initialize(to: function(base[index]))
                    index += 1
                }
                initialized = x.count
            }
        }
    }

    /// f of pairs of elements, at the given places of `x` and `y`.
    static func map(
        _ x: [Float], _ xPlaces: [Int], _ y: [Float], _ yPlaces: [Int], _ function: (Float, Float) -> Float
    ) -> [Float] {
        let a = gather(x, xPlaces)
        let b = gather(y, yPlaces)
        return [Float](unsafeUninitializedCapacity: a.count) { buffer, initialized in
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    guard let target = buffer.baseAddress, let p = a.baseAddress, let q = b.baseAddress
                    else { return }
                    var index = 0
                    while index < a.count {
                        (target + index).initialize(to: function(p[index], q[index]))
                        index += 1
                    }
                    initialized = a.count
                }
            }
        }
    }

    /// The elements at the given places, each of which lies in `x`.
    static func gather(_ x: [Float], _ places: [Int]) -> [Float] {
        [Float](unsafeUninitializedCapacity: places.count) { buffer, initialized in
            x.withUnsafeBufferPointer { x in
                places.withUnsafeBufferPointer { places in
                    guard let y = buffer.baseAddress, let base = x.baseAddress, let p = places.baseAddress
                    else { return }
                    var index = 0
                    while index < places.count {
                        (y + index).initialize(to: base[p[index]])
                        index += 1
                    }
                    initialized = places.count
                }
            }
        }
    }

    /// The same numbers as `Double`.
    static func widened(_ x: [Float]) -> [Double] {
        [Double](unsafeUninitializedCapacity: x.count) { buffer, initialized in
            guard let target = buffer.baseAddress else { return }
            widen(x, from: 0, count: x.count, into: target)
            initialized = x.count
        }
    }

    /// Writes a part of `x` as `Double`.
    static func widen(_ x: [Float], from start: Int, count: Int, into target: UnsafeMutablePointer<Double>) {
        x.withUnsafeBufferPointer { x in
            guard let base = x.baseAddress else { return }
            var index = 0
            while index < count {
                (target + index).initialize(to: Double(base[start + index]))
                index += 1
            }
        }
    }
}
