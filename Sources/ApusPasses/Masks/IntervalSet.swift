/// A set of integers as disjoint closed intervals in order; `Int.min` and `Int.max` stand for no bound.
struct IntervalSet: Hashable {
    private(set) var intervals: [ClosedRange<Int>]

    static let empty = IntervalSet(intervals: [])
    static let all = IntervalSet(.min ... .max)

    private init(intervals: [ClosedRange<Int>]) { self.intervals = intervals }

    init(_ interval: ClosedRange<Int>) { intervals = [interval] }

    /// The union of intervals in any order.
    init(_ parts: some Sequence<ClosedRange<Int>>) {
        intervals = []
        for part in parts.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            // Intervals that touch are one.
            if let last = intervals.last, last.upperBound == .max || part.lowerBound <= last.upperBound + 1 {
                intervals[intervals.count - 1] =
                    last.lowerBound...Swift.max(last.upperBound, part.upperBound)
            } else {
                intervals.append(part)
            }
        }
    }

    var isEmpty: Bool { intervals.isEmpty }

    func contains(_ value: Int) -> Bool { intervals.contains { $0.contains(value) } }

    func union(_ other: IntervalSet) -> IntervalSet { IntervalSet(intervals + other.intervals) }

    func intersection(_ other: IntervalSet) -> IntervalSet {
        var parts: [ClosedRange<Int>] = []
        for a in intervals {
            for b in other.intervals where a.overlaps(b) { parts.append(a.clamped(to: b)) }
        }
        return IntervalSet(parts)
    }

    var complement: IntervalSet {
        var parts: [ClosedRange<Int>] = []
        var next = Int.min
        for interval in intervals {
            if interval.lowerBound > next { parts.append(next...interval.lowerBound - 1) }
            guard interval.upperBound < .max else { return IntervalSet(intervals: parts) }
            next = interval.upperBound + 1
        }
        parts.append(next ... .max)
        return IntervalSet(intervals: parts)
    }

    func isSuperset(of other: IntervalSet) -> Bool { other.intersection(complement).isEmpty }

    /// The set with a number added to each member; a missing bound stays missing.
    func shifted(by offset: Int) -> IntervalSet {
        func move(_ bound: Int) -> Int {
            if bound == .min || bound == .max { return bound }
            let (sum, overflow) = bound.addingReportingOverflow(offset)
            return overflow ? (offset < 0 ? .min : .max) : sum
        }
        return IntervalSet(intervals: intervals.map { move($0.lowerBound)...move($0.upperBound) })
    }

    /// The set as a condition on `name`, as in `0 <= q - k <= 3`.
    func condition(on name: String) -> String {
        if isEmpty { return "never" }
        return intervals.map { interval in
            switch (interval.lowerBound, interval.upperBound) {
            case (.min, .max): "always"
            case (.min, let upper): "\(name) <= \(upper)"
            case (let lower, .max): "\(name) >= \(lower)"
            case (let lower, let upper) where lower == upper: "\(name) = \(lower)"
            case (let lower, let upper): "\(lower) <= \(name) <= \(upper)"
            }
        }.joined(separator: " or ")
    }
}
