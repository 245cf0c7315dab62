import ApusCUDA
import ApusGraph
import ApusSupport
import AttentionCases

/// The AttentionPlugin on a GPU against attention in double precision.
struct PluginCheck {
    let backend: CUDABackend
    /// The first pass launches kernel by kernel, the second captures a graph where it can, the third replays it.
    private let passCount = 3

    /// Plays a case with a cache of one type.
    /// - Returns: The largest error over all rounds, relative to the largest value of each.
    /// - Throws: `.mismatch` with every fault, its round, error and tolerance.
    func largestError(of test: PluginCase, cache: ElementType) throws(ApusError) -> Double {
        let script = Script(test)
        let player = CUDAPluginPlayer(script, cache, on: backend)
        let outcome = try Playback(script, cache, player, passes: passCount).play()
        guard outcome.faults.isEmpty else {
            let (shown, rest) = (outcome.faults.prefix(8), outcome.faults.dropFirst(8))
            throw ApusError(
                .mismatch,
                shown.joined(separator: "; ") + (rest.isEmpty ? "" : "; and \(rest.count) more"))
        }
        return outcome.largestError
    }
}
