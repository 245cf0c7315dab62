import ApusEngine
import ApusSupport

/// The memory that all bindings of a plan share: activations, and the scratch of each worker.
final class PlanMemory {
    /// Where each activation lies in ``arena``.
    let buffers: BufferPlan
    /// The memory of all activations.
    let arena: HugeBuffer
    /// The memory of each worker for the inside of a kernel.
    let scratch = Scratch()
    private var scratchBytes = 0

    /// Allocates activations for passes within `limits`.
    /// - Parameter held: Activations whose memory lies elsewhere.
    init(_ plan: Plan, limits: SessionLimits, held: Set<Int> = []) throws(ApusError) {
        buffers = try BufferPlan(plan, limits: limits, held: held)
        arena = try HugeBuffer(byteCount: buffers.byteCount, purpose: "activations")
    }

    /// Bytes held.
    var byteCount: Int { arena.byteCount + scratchBytes }

    /// Makes sure that each of `workers` has so many bytes of scratch; launches ask where it is in every pass.
    func reserveScratch(_ bytes: Int, workers: Int) throws(ApusError) {
        guard bytes * workers > scratchBytes else { return }
        try scratch.reserve(bytes, workers: workers)
        scratchBytes = bytes * workers
    }
}
