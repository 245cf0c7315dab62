import ApusEngine
import ApusSupport
import CApusCUDA
import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What all engines on one device share: its kernels, its products, the weights that are there.
final class CUDARuntime: @unchecked Sendable {
    let device: CUDADevice
    let kernels: KernelLibrary
    private let state = Mutex(State())

    private struct State {
        var products: Result<ProductLibrary, ApusError>?
        /// Weights on the device, by the store that they are copies of.
        var weights: [ObjectIdentifier: Held] = [:]
    }

    private struct Held {
        weak var weights: CUDAWeights?
    }

    /// Whether kernels of a decode step may start before the one before has ended; `APUS_CUDA_OVERLAP=0` tells otherwise,
    /// to find out what it gains.
    let overlaps: Bool

    init(_ device: CUDADevice) {
        self.device = device
        overlaps = getenv("APUS_CUDA_OVERLAP").map { String(cString: $0) } != "0"
        kernels = KernelLibrary(device)
    }

    /// Whether cuBLASLt is there; if not, kernels of Apus compute products.
    var hasProducts: Bool {
        if device.driver.isNull { return true }
        return (try? products()) != nil
    }

    func products() throws(ApusError) -> ProductLibrary {
        let result = state.withLock { state in
            if let known = state.products { return known }
            let made: Result<ProductLibrary, ApusError> = Result { () throws(ApusError) in
                try ProductLibrary(device)
            }
            state.products = made
            return made
        }
        return try result.get()
    }

    /// The device's copy of the weights of an engine, made when it is first asked for.
    func weights(of store: WeightStore) throws(ApusError) -> CUDAWeights {
        try state.withLock { state throws(ApusError) in
            let key = ObjectIdentifier(store)
            if let held = state.weights[key]?.weights { return held }
            let weights = try CUDAWeights(store, on: device)
            state.weights[key] = Held(weights: weights)
            return weights
        }
    }
}

/// The weights of an engine in the memory of a device.
final class CUDAWeights: @unchecked Sendable {
    /// Keeps the identity by which the copy is found again.
    private let store: WeightStore
    private let memory: CUDAMemory

    init(_ store: WeightStore, on device: CUDADevice) throws(ApusError) {
        self.store = store
        // Where nothing computes, addresses are enough.
        memory = try CUDAMemory(
            device.driver.isNull ? 1 : store.buffer.byteCount, purpose: "weights", on: device)
        guard !device.driver.isNull else { return }
        // Copies from memory that is not pinned go through the driver's own, as fast as a thread moves bytes.
        let (base, count) = (UInt(bitPattern: store.buffer.base), store.buffer.byteCount)
        let part = (count / Self.copyingThreads + 4095) / 4096 * 4096
        let address = memory.address
        let failure = Mutex<ApusError?>(nil)
        DispatchQueue.concurrentPerform(iterations: (count + part - 1) / max(part, 1)) { index in
            do throws(ApusError) {
                let stream = try CUDAStream(on: device)
                let (driver, functions) = (device.driver, device.driver.functions)
                let offset = index * part
                try driver.check(
                    functions.copy_in(
                        address + UInt64(offset), UnsafeRawPointer(bitPattern: base + UInt(offset)),
                        min(part, count - offset), stream.handle), "copying the weights")
                try driver.check(functions.stream_synchronize(stream.handle), "copying the weights")
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Threads that copy weights to the device.
    private static let copyingThreads = 8

    func address(of region: Int) -> UnsafeMutableRawPointer { memory.base + store.regions[region].offset }
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
