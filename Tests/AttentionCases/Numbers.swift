/// Repeatable numbers (SplitMix64).
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Numbers in -1...1.
    mutating func array(_ count: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = count
            var index = 0
            while index < count {
                buffer[index] = Float(next() >> 40) / Float(1 << 23) - 1
                index += 1
            }
        }
    }

    /// A number below `bound`.
    mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
}
