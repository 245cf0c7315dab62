import Synchronization

/// When the parts of something ran, for those who ask where its time goes: parts overlap where threads share them.
public final class PhaseLog: Sendable {
    /// One part.
    public struct Phase: Sendable {
        /// What was done.
        public let name: String
        /// Seconds from the log's begin to the part's begin, and to its end.
        public let (start, end): (Double, Double)
    }

    private let origin = ContinuousClock.now
    private let phases = Mutex<[Phase]>([])
    private let mostPhases: Int

    /// Begins to count.
    /// - Parameter mostPhases: Parts that are noted; later ones are not.
    public init(mostPhases: Int = 256) { self.mostPhases = mostPhases }

    /// Runs a part and notes its times, also if it throws.
    public func measure<Result: ~Copyable>(
        _ name: String, _ body: () throws(ApusError) -> Result
    ) throws(ApusError) -> Result {
        let start = now
        defer {
            let phase = Phase(name: name, start: start, end: now)
            phases.withLock { if $0.count < mostPhases { $0.append(phase) } }
        }
        return try body()
    }

    /// The parts so far, by their begin.
    public var all: [Phase] { phases.withLock { $0 }.sorted { $0.start < $1.start } }

    /// Seconds since the log began.
    public var now: Double { (ContinuousClock.now - origin) / .seconds(1) }
}

/// The parts of a process's start; one that opens model after model does not remember all.
public enum PhaseTimes {
    private static let log = PhaseLog()

    /// Begins to count.
    public static func begin() { _ = log }

    /// Runs a part and notes its times, also if it throws.
    public static func measure<Result: ~Copyable>(
        _ name: String, _ body: () throws(ApusError) -> Result
    ) throws(ApusError) -> Result {
        try log.measure(name, body)
    }

    /// The parts so far, by their begin.
    public static var all: [PhaseLog.Phase] { log.all }

    /// Seconds since ``begin()``.
    public static var now: Double { log.now }
}
