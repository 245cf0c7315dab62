/// e to the power of each lane, for lanes of at most 0; relative error below 2e-7.
///
/// Lanes below −87 give 0. Only additions, products and bit patterns: every platform rounds the same way, so a seed
/// gives the same tokens everywhere, and it costs a tenth of a call to the C library for each lane.
@inlinable @inline(__always)
package func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
    typealias Lanes = SIMD8<Float>
    // Adding and subtracting 1.5 · 2²³ rounds to an integer, which stays in the low bits of the sum.
    let magic = Lanes(repeating: 12_582_912)
    let clamped = x.replacing(with: -87, where: x .< -87)
    let shifted = clamped * 1.442_695_04 + magic
    let power = shifted - magic
    // ln 2 in two parts, so that the remainder keeps all its bits.
    let remainder = (clamped - power * 0.693_359_375) - power * -2.121_944_4e-4
    var series = Lanes(repeating: 1.987_569_1e-4)
    series = series * remainder + 1.398_199_9e-3
    series = series * remainder + 8.333_452e-3
    series = series * remainder + 4.166_579_6e-2
    series = series * remainder + 1.666_666_5e-1
    series = series * remainder + 0.5
    series = series * (remainder * remainder) + remainder + 1
    let bits = SIMD8<Int32>(truncatingIfNeeded: unsafeBitCast(shifted, to: SIMD8<UInt32>.self) & 0x1FF)
    let scale = unsafeBitCast(((bits &+ 127) & 0xFF) &<< 23, to: Lanes.self)
    return (series * scale).replacing(with: 0, where: x .< -87)
}
