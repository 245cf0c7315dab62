import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What Ctrl-C does: it ends a generation after the current token, and anything else at once.
enum Interruption {
    private static let isDeferred = Atomic<Bool>(false)
    private static let wasRequested = Atomic<Bool>(false)

    /// Installs the handlers; a closed pipe becomes an error of `write` rather than a signal.
    static func install() {
        // Swift makes globals on first use, which is no work for a signal handler.
        isDeferred.store(false, ordering: .relaxed)
        wasRequested.store(false, ordering: .relaxed)
        signal(SIGPIPE, SIG_IGN)
        signal(SIGINT) { _ in
            let isSecond = Interruption.wasRequested.exchange(true, ordering: .relaxed)
            if isSecond || !Interruption.isDeferred.load(ordering: .relaxed) { _exit(ExitStatus.interrupted) }
        }
    }

    /// Whether Ctrl-C was pressed while `deferred` work was running.
    static var isRequested: Bool { wasRequested.load(ordering: .relaxed) }

    /// Runs work that looks at ``isRequested`` by itself; a second Ctrl-C ends it at once all the same.
    static func deferred<T>(_ body: () throws -> T) rethrows -> T {
        isDeferred.store(true, ordering: .relaxed)
        defer { isDeferred.store(false, ordering: .relaxed) }
        return try body()
    }
}
