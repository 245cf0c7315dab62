#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Sine and cosine in FP32 from the C library.
enum Trigonometry {
    static func cosine(_ angle: Float) -> Float { cosf(angle) }
    static func sine(_ angle: Float) -> Float { sinf(angle) }
}
