import Synchronization

/// When the parts of a process's start ran, for those who ask where its time goes: parts overlap where threads share them.
public enum PhaseTimes {
    /// One part.
    public struct Phase: Sendable {
        /// What was done.
        public let name: String
        /// Seconds from the first use of this type to the part's begin, and to its end.
        public let (start, end): (Double, Double)
    }

    private static let origin = ContinuousClock.now
    private static let phases = Mutex<[Phase]>([])
    /// A process that opens model after model need not remember all.
    private static let mostPhases = 256

    /// Begins to count.
    public static func begin() { _ = origin }

    /// Runs a part and notes its times, also if it throws.
    public static func measure<Result: ~Copyable>(
        _ name: String, _ body: () throws(ApusError) -> Result
    ) throws(ApusError) -> Result {
        let start = (ContinuousClock.now - origin) / .seconds(1)
        defer {
            let phase = Phase(name: name, start: start, end: (ContinuousClock.now - origin) / .seconds(1))
            phases.withLock { if $0.count < mostPhases { $0.append(phase) } }
        }
        return try body()
    }

    /// The parts so far, by their begin.
    public static var all: [Phase] { phases.withLock { $0 }.sorted { $0.start < $1.start } }

    /// Seconds since ``begin()``.
    public static var now: Double { (ContinuousClock.now - origin) / .seconds(1) }
}
