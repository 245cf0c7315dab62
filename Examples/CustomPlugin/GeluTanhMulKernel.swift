import Apus

/// `gelu_tanh_mul` on processors, eight numbers at a time.
struct GeluTanhMulKernel: CPUKernel {
    func refusal(_ query: KernelQuery) -> String? {
        query.operands[0]?.element == .f32 ? nil : "gate is not f32"
    }

    func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch {
        try GeluTanhMulLaunch(setup)
    }
}

/// One such step of a model.
///
/// Workers share the elements.
final class GeluTanhMulLaunch: CPULaunch {
    private let gate: UnsafeMutablePointer<Float>
    private let up: UnsafeMutablePointer<Float>
    private let y: UnsafeMutablePointer<Float>
    private var count = 0

    init(_ setup: CPUKernelSetup) throws(ApusError) {
        gate = try setup.operand(0).floats()
        up = try setup.operand(1).floats()
        y = try setup.results[0].floats()
    }

    func resize(_ shapes: KernelShapes) { count = shapes.results[0].reduce(1, *) }

    func run(_ worker: CPUWorker) {
        // Shares are whole vectors, so that a number has the same bits however many workers there are.
        let range = worker.share(of: count, grain: 8)
        var index = range.lowerBound
        while index + 8 <= range.upperBound {
            let (g, u) = (Self.load(gate + index), Self.load(up + index))
            Self.store(Self.gated(g, u), y + index)
            index += 8
        }
        if index < range.upperBound {
            var (g, u) = (SIMD8<Float>(), SIMD8<Float>())
            for lane in 0..<range.upperBound - index {
                (g[lane], u[lane]) = (gate[index + lane], up[index + lane])
            }
            let result = Self.gated(g, u)
            for lane in 0..<range.upperBound - index { y[index + lane] = result[lane] }
        }
    }

    @inline(__always)
    private static func load(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
        UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
    }

    @inline(__always)
    private static func store(_ value: SIMD8<Float>, _ pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: value, as: SIMD8<Float>.self)
    }

    /// x/2·(1 + tanh(z)) is x/(1 + e^(−2z)): one exponential and one division.
    @inline(__always)
    private static func gated(_ x: SIMD8<Float>, _ up: SIMD8<Float>) -> SIMD8<Float> {
        let z = x * (1.595769121605731 + 0.07135481627159 * (x * x))
        return x * up / (1 + exp(-z))
    }

    /// e^x to about 2 ulp: x = n·ln 2 + r, e^x = 2^n·(1 + r + r²·p(r)).
    ///
    /// The exponent of the result is bounded to what a product with `x` can bear: 2^126 stands for infinity.
    @inline(__always)
    private static func exp(_ x: SIMD8<Float>) -> SIMD8<Float> {
        let bounded = pointwiseMax(pointwiseMin(x, SIMD8(repeating: 87)), SIMD8(repeating: -87))
        // Adding 1.5·2^23 rounds to an integer, which then stands in the low bits.
        let shifted = bounded * 1.44269504 + 12582912
        let n = shifted - 12582912
        var r = bounded - n * 0.693359375
        r += n * 2.12194440e-4
        var p = r * 1.9790219e-4 + 1.3944784e-3
        p = p * r + 8.3334977e-3
        p = p * r + 4.1666292e-2
        p = p * r + 1.6666666e-1
        p = p * r + 0.5
        let mantissa = p * r * r + r + 1
        let bits = unsafeBitCast(mantissa, to: SIMD8<Int32>.self)
        let exponent = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &<< 23
        return unsafeBitCast(bits &+ exponent, to: SIMD8<Float>.self)
    }
}
