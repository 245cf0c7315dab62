import ApusEngine
import ApusSupport
import CApusCPU

/// The processor as executors see it.
struct CPUDevice: PlanDevice {
    let kernels: UnsafePointer<apus_kernels>
    let pool: ThreadPool

    func allocate(_ byteCount: Int, purpose: String) throws(ApusError) -> any DeviceMemory {
        try HugeBuffer(byteCount: byteCount, purpose: purpose)
    }

    /// None: kernels read the frame itself.
    func allocateMirror(_ byteCount: Int) throws(ApusError) -> (any DeviceMemory)? { nil }

    func bind(_ binding: PlanBinding) throws(ApusError) -> any RunnablePlan {
        try BoundPlan(binding, kernels: kernels, pool: pool)
    }
}
