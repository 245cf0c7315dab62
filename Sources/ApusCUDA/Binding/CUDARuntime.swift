import ApusEngine
import ApusSupport
import CApusCUDA
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What all engines on one device share: its kernels and its products.
final class CUDARuntime: @unchecked Sendable {
    let device: CUDADevice
    let kernels: KernelLibrary
    /// cuBLASLt, which is opened while the model is read, since it is large; nil for a device that is not there.
    private let productLibrary: Background<ProductLibrary>?
    /// Held while weights are copied.
    private let uploads = Mutex<Void>(())

    /// Whether kernels of a decode step may start before the one before has ended; `APUS_CUDA_OVERLAP=0` tells otherwise,
    /// to find out what it gains.
    let overlaps: Bool

    /// Whether one kernel may compute all layers of a decode step; `APUS_CUDA_STACK=0` tells otherwise, to find out what it
    /// gains.
    let stacksLayers: Bool

    /// - Parameter stacksLayers: Nil takes what the environment says.
    init(_ device: CUDADevice, stacksLayers: Bool? = nil) {
        self.device = device
        self.stacksLayers = stacksLayers ?? Self.stacksLayersByDefault
        overlaps = getenv("APUS_CUDA_OVERLAP").map { String(cString: $0) } != "0"
        kernels = KernelLibrary(device)
        productLibrary =
            device.driver.isNull
            ? nil
            : Background { () throws(ApusError) in
                _ = try CUBLASLt.system()
                try device.activate()
                return try PhaseTimes.measure("starting cuBLASLt") { () throws(ApusError) in
                    let library = try ProductLibrary(device)
                    library.warmUp()
                    return library
                }
            }
    }

    private static let stacksLayersByDefault =
        getenv("APUS_CUDA_STACK").map { String(cString: $0) } != "0"

    /// Whether cuBLASLt is there; if not, kernels of Apus compute products.
    var hasProducts: Bool {
        if device.driver.isNull { return true }
        return (try? products()) != nil
    }

    func products() throws(ApusError) -> ProductLibrary {
        guard let productLibrary else {
            throw ApusError(.internal, "a GPU that is not there multiplies nothing")
        }
        return try productLibrary.get()
    }

    /// The algorithms of products that an engine brings for this GPU and its library; nil if there are none.
    func algorithms(of kernels: KernelStore) -> StoredAlgorithms? {
        guard !device.driver.isNull, !kernels.products.isEmpty, let products = try? products() else {
            return nil
        }
        return StoredAlgorithms(
            kernels, gpu: device.name, architecture: device.architecture, library: products.library.name)
    }

    /// The weights of an engine on the device; the first who asks has them copied, and the processor's copy goes.
    func weights(of store: WeightStore) throws(ApusError) -> CUDAWeights {
        if device.driver.isNull { return try CUDAWeights(placesOn: device) }
        return try uploads.withLock { _ throws(ApusError) in
            if let held = store.device as? CUDAWeights, held.memory.device.ordinal == device.ordinal {
                return held
            }
            let weights = try PhaseTimes.measure("weights") { () throws(ApusError) in
                try WeightUpload.send(try store.buffer(), to: device)
            }
            store.move(to: weights)
            return weights
        }
    }
}

/// A GPU as executors see it.
struct CUDAPlanDevice: PlanDevice {
    let runtime: CUDARuntime

    func allocate(_ byteCount: Int, purpose: String) throws(ApusError) -> any DeviceMemory {
        let device = runtime.device
        let memory = try CUDAMemory(byteCount, purpose: purpose, on: device)
        try device.driver.check(
            device.driver.functions.fill(memory.address, 0, byteCount, nil), "clearing \(purpose)")
        try device.driver.check(device.driver.functions.stream_synchronize(nil), "clearing \(purpose)")
        return memory
    }

    func allocateMirror(_ byteCount: Int) throws(ApusError) -> (any DeviceMemory)? {
        try allocate(byteCount, purpose: "the inputs of a pass")
    }

    /// The memory of the largest of the plans that a plan is turned into.
    func arenaBytes(_ plan: Plan, limits: SessionLimits, held: Set<Int>) throws(ApusError) -> Int? {
        var most = 0
        for kind in PassKind.allCases {
            let fused = kind.fused(plan)
            most = max(most, try BufferPlan(fused, limits: kind.limits(limits), held: held).byteCount)
        }
        return most
    }

    func bind(_ binding: PlanBinding) throws(ApusError) -> any RunnablePlan {
        try CUDAPlan(binding, runtime)
    }
}
