import ApusEngine

/// The memory a session passes its tokens and counts in, allocated once for the largest pass.
final class SessionInputs {
    /// [batch, width] token ids.
    let tokens: UnsafeMutableBufferPointer<Int32>
    /// [batch] valid tokens of each row.
    let newCounts: UnsafeMutableBufferPointer<Int32>
    /// [batch] tokens that the cache holds already.
    let cachedCounts: UnsafeMutableBufferPointer<Int32>

    init(_ limits: SessionLimits) {
        tokens = .allocate(capacity: limits.batch * limits.chunk)
        newCounts = .allocate(capacity: limits.batch)
        cachedCounts = .allocate(capacity: limits.batch)
        tokens.initialize(repeating: 0)
        newCounts.initialize(repeating: 0)
        cachedCounts.initialize(repeating: 0)
    }

    deinit {
        tokens.deallocate()
        newCounts.deallocate()
        cachedCounts.deallocate()
    }
}
