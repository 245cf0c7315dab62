public import ApusGraph
public import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Seeded random weights for a list of parameters, so that real sizes can be run where no checkpoint can be had.
///
/// A weight depends on the seed, its name and its shape alone. Matrices are normal with a deviation of 1/√(last
/// dimension), norm weights are near 1, biases near 0.
public struct RandomWeights: WeightSource {
    /// The parameters by name.
    public let shapes: [String: [Int]]
    /// The seed of all weights.
    public let seed: UInt64
    /// Element type of all weights.
    public let element: ElementType

    /// Makes a source of weights of a floating-point type.
    public init(shapes: [String: [Int]], seed: UInt64, element: ElementType) throws(ApusError) {
        guard element.isFloat else {
            throw ApusError(
                .unsupported, "random weights: expected f32, f16 or bf16, got \(element.rawValue)")
        }
        self.shapes = shapes
        self.seed = seed
        self.element = element
    }

    /// The type of a weight; nil if there is none of that name.
    public func type(of name: String) -> TensorType? { shapes[name].map { TensorType(element, $0) } }

    /// Calls `body` with a weight that is generated for the call.
    public func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let shape = shapes[name] else {
            throw ApusError(.notFound, "random weights: no weight '\(name)'")
        }
        let count = shape.reduce(1, *)
        guard let base = malloc(max(1, count * element.byteCount)) else {
            throw ApusError(
                .outOfMemory, "weight '\(name)': no memory for \(count * element.byteCount) bytes")
        }
        defer { free(base) }
        let buffer = UnsafeMutableRawBufferPointer(start: base, count: count * element.byteCount)
        fill(buffer, name, shape, from: 0)
        try body(UnsafeRawBufferPointer(buffer))
    }

    /// Elements are generated in groups of this many from one step of the generator.
    static let group = 4

    /// Writes the elements of a weight from `start`, a multiple of ``group``, on into a buffer of whole elements.
    func fill(_ buffer: UnsafeMutableRawBufferPointer, _ name: String, _ shape: [Int], from start: Int) {
        let (mean, deviation) = Self.distribution(name, shape)
        let key = Self.hash(name, seed)
        // The table is drawn from instead of a normal distribution computed for each element.
        let table = Self.quantiles.map { Float(mean + deviation * $0) }
        switch element {
        case .f16: Self.fill(buffer, table.map { Half($0).bits.littleEndian }, key, start)
        case .bf16: Self.fill(buffer, table.map { BFloat16($0).bits.littleEndian }, key, start)
        default: Self.fill(buffer, table.map { $0.bitPattern.littleEndian }, key, start)
        }
    }

    /// Writes entries of a table of 4096 numbers, drawn evenly.
    @inline(__always)
    static func fill<Bits: FixedWidthInteger>(
        _ buffer: UnsafeMutableRawBufferPointer, _ table: [Bits], _ key: UInt64, _ start: Int
    ) {
        let target = buffer.assumingMemoryBound(to: Bits.self)
        table.withUnsafeBufferPointer { table in
            guard let base = target.baseAddress, let table = table.baseAddress else { return }
            var index = 0
            var counter = UInt64(start / group)
            while index < target.count {
                let bits = mix(key &+ counter &* 0x9E37_79B9_7F4A_7C15)
                if index + group <= target.count {
                    base[index] = table[Int(truncatingIfNeeded: bits & 0xFFF)]
                    base[index + 1] = table[Int(truncatingIfNeeded: bits >> 16 & 0xFFF)]
                    base[index + 2] = table[Int(truncatingIfNeeded: bits >> 32 & 0xFFF)]
                    base[index + 3] = table[Int(truncatingIfNeeded: bits >> 48 & 0xFFF)]
                } else {
                    for lane in 0..<target.count - index {
                        base[index + lane] = table[Int(truncatingIfNeeded: bits >> (16 * lane) & 0xFFF)]
                    }
                }
                index += group
                counter &+= 1
            }
        }
    }

    /// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// FNV-1a of the name, mixed with the seed.
    static func hash(_ name: String, _ seed: UInt64) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return mix(hash ^ mix(seed))
    }

    private static func distribution(
        _ name: String, _ shape: [Int]
    ) -> (mean: Double, deviation: Double) {
        if shape.count > 1 { return (0, 1 / Double(max(1, shape[shape.count - 1])).squareRoot()) }
        return (name.hasSuffix(".weight") ? 1 : 0, 0.02)
    }

    /// 4096 numbers that are distributed normally: the middles of as many slices of equal probability.
    static let quantiles: [Double] = {
        let half = (0..<2048).map { index -> Double in
            let probability = (Double(index) + 0.5) / 2048
            var (low, high) = (0.0, 8.0)
            for _ in 0..<50 {
                let middle = (low + high) / 2
                if erf(middle / 2.0.squareRoot()) < probability { low = middle } else { high = middle }
            }
            return low
        }
        return half.map { -$0 } + half
    }()
}
