import Synchronization

/// Hands out the indices 0, 1, … to whichever worker is free.
public final class WorkQueue: Sendable {
    private let next = PaddedCounter()

    /// A queue that starts at 0.
    public init() {}

    /// Starts again at 0; no worker may be taking.
    public func reset() { next.value.store(0, ordering: .relaxed) }

    /// The next index; past the last one when the work is used up.
    @inline(__always)
    public func take() -> Int { next.value.add(1, ordering: .relaxed).oldValue }
}
