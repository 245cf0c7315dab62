/// How long each step of a plan took, summed over passes.
///
/// A step's time ends when all workers have left it, so that the times of the steps add up to that of the pass.
public struct StepProfile: Sendable {
    /// The plan that ran: the engine's, or what a device has made of it.
    public let plan: Plan
    /// Seconds of each step, in the order of the plan.
    public private(set) var seconds: [Double]
    /// Forward passes that were timed.
    public private(set) var passCount = 0

    /// A profile of a plan, before its first pass.
    public init(_ plan: Plan) {
        self.plan = plan
        seconds = Array(repeating: 0, count: plan.steps.count)
    }

    /// Adds the time of one step.
    public mutating func add(_ duration: Duration, step: Int) {
        let (whole, atto) = duration.components
        seconds[step] += Double(whole) + Double(atto) * 1e-18
    }

    /// Tells that a pass has come to its end.
    public mutating func endPass() { passCount += 1 }

    /// Adds what another profile of the same plan has.
    public mutating func add(_ other: StepProfile) {
        for step in seconds.indices where step < other.seconds.count { seconds[step] += other.seconds[step] }
        passCount += other.passCount
    }
}

/// An executor that can tell how long each step takes.
public protocol ProfilingExecutor: Executor {
    /// Times every step from now on, which costs two readings of the clock a step.
    func startProfiling()

    /// Stops timing and returns what was timed since the start; nil if it was not started.
    func stopProfiling() -> StepProfile?
}
