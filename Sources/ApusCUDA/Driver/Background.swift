import ApusSupport
import Dispatch

/// Something that another thread makes meanwhile.
///
/// Whoever owns it waits for the thread when it ends: a process must not end while a driver or a library is being opened.
final class Background<Value: Sendable>: Sendable {
    private let state = State()

    private final class State: @unchecked Sendable {
        let group = DispatchGroup()
        /// Written once, before the group is left.
        var result: Result<Value, ApusError>?
    }

    /// Begins to make it.
    init(_ make: @escaping @Sendable () throws(ApusError) -> Value) {
        let state = state
        state.group.enter()
        DispatchQueue.global(qos: .userInitiated).async {
            state.result = Result { () throws(ApusError) in try make() }
            state.group.leave()
        }
    }

    deinit { state.group.wait() }

    /// Waits for it.
    /// - Throws: What making it threw.
    func get() throws(ApusError) -> Value {
        state.group.wait()
        guard let result = state.result else {
            throw ApusError(.internal, "a thread ended without a result")
        }
        return try result.get()
    }
}
