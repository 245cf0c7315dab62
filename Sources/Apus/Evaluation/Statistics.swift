#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The few functions that summaries of scores need.
enum Statistics {
    /// ln 2.
    static let naturalLogarithmOf2 = 0.693_147_180_559_945_3

    /// e to the power of `x`.
    static func exponential(_ x: Double) -> Double { exp(x) }

    /// The natural logarithm.
    static func logarithm(_ x: Double) -> Double { log(x) }

    /// The smallest value that at least the given share of `sorted`, which is not empty, does not exceed.
    static func quantile(_ share: Double, of sorted: [Double]) -> Double {
        let rank = (share * Double(sorted.count)).rounded(.up)
        return sorted[min(max(Int(rank) - 1, 0), sorted.count - 1)]
    }
}
