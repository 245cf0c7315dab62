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
    /// What one kernel computed of several steps, by the first of them.
    private var joint: [Int: Entry] = [:]

    /// A step, or several that one kernel computed.
    public struct Entry: Sendable {
        /// The kernel.
        public let kernel: String
        /// Positions of the steps in the plan.
        public let steps: [Int]
    }

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

    /// Adds the time of steps that one kernel computed; they are one entry from now on.
    public mutating func add(_ duration: Duration, steps: [Int], kernel: String) {
        guard let first = steps.first else { return }
        add(duration, step: first)
        if steps.count > 1 { joint[first] = Entry(kernel: kernel, steps: steps) }
    }

    /// The steps in the order of the plan, those that one kernel computed as one.
    public var entries: [Entry] {
        let taken = Set(joint.values.flatMap { $0.steps.dropFirst() })
        return plan.steps.indices.filter { !taken.contains($0) }.map {
            joint[$0] ?? Entry(kernel: plan.steps[$0].kernel, steps: [$0])
        }
    }

    /// Seconds of an entry, summed over passes.
    public func seconds(of entry: Entry) -> Double { entry.steps.reduce(0) { $0 + seconds[$1] } }

    /// Tells that a pass has come to its end.
    public mutating func endPass() { passCount += 1 }

    /// Adds what another profile of the same plan has.
    public mutating func add(_ other: StepProfile) {
        for step in seconds.indices where step < other.seconds.count { seconds[step] += other.seconds[step] }
        joint.merge(other.joint) { $1 }
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
