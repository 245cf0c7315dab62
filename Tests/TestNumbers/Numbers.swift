/// Numbers that depend on the seed alone, so that a failure can be run again.
///
/// Source: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
package struct Numbers: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64 = 1) { state = seed }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// A number in -1..<1.
    package mutating func unit() -> Float { Float(next() >> 40) / Float(1 << 23) - 1 }

    /// Numbers in -scale..<scale.
    package mutating func array(_ count: Int, scale: Float = 1) -> [Float] {
        // A loop of no closures: a debug build makes millions.
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = count
            var index = 0
            while index < count {
                buffer[index] = unit() * scale
                index += 1
            }
        }
    }

    /// The first numbers of a seed, in -1..<1.
    package static func array(_ count: Int, seed: UInt64) -> [Float] {
        var numbers = Self(seed: seed)
        return numbers.array(count)
    }

    /// A number below `bound`.
    package mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
}
