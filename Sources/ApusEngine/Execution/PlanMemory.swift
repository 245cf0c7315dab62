package import ApusSupport

/// Memory that kernels of a device read and write; `base` means something to that device only.
package protocol DeviceMemory: AnyObject {
    /// The first byte.
    var base: UnsafeMutableRawPointer { get }
    /// Size in bytes.
    var byteCount: Int { get }
}

extension HugeBuffer: DeviceMemory {}

/// The activations that all bindings of a plan share.
package final class PlanMemory {
    /// Where each activation lies in ``arena``.
    package let buffers: BufferPlan
    /// The memory of all activations.
    package let arena: any DeviceMemory

    /// Allocates activations for passes within `limits`.
    /// - Parameter held: Activations whose memory lies elsewhere.
    package init(
        _ plan: Plan, limits: SessionLimits, held: Set<Int> = [], on device: any PlanDevice
    ) throws(ApusError) {
        buffers = try BufferPlan(plan, limits: limits, held: held)
        let bytes = try device.arenaBytes(plan, limits: limits, held: held) ?? buffers.byteCount
        arena = try device.allocate(max(bytes, 1), purpose: "activations")
    }

    /// Bytes held.
    package var byteCount: Int { arena.byteCount }
}
