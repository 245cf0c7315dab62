/// Summaries of repeated measurements.
struct Statistics {
    private let sorted: [Double]

    /// Of one or more values in any order; none at all give NaN everywhere.
    init(_ values: [Double]) { sorted = values.sorted() }

    /// The arithmetic mean.
    var mean: Double { sorted.reduce(0, +) / Double(sorted.count) }

    /// The middle value, or the mean of the middle two.
    var median: Double { quantile(0.5) }

    /// The standard deviation of the values themselves (divided by n, as NumPy does).
    var deviation: Double {
        let mean = mean
        return (sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(sorted.count)).squareRoot()
    }

    /// The value below which a fraction of the values lies, interpolated between neighbours as NumPy does.
    func quantile(_ fraction: Double) -> Double {
        guard let last = sorted.last else { return .nan }
        let place = fraction * Double(sorted.count - 1)
        let index = Int(place)
        guard index + 1 < sorted.count else { return last }
        return sorted[index] + (sorted[index + 1] - sorted[index]) * (place - Double(index))
    }
}
