import ApusEngine
import ApusSupport
import CApusCUDA

/// Device memory that one owner frees.
struct CUDAAllocation: ~Copyable {
    let address: apus_cu_address
    let byteCount: Int
    private let device: CUDADevice

    /// Allocates memory, whose contents are undefined.
    /// - Throws: `.outOfMemory` that names the purpose.
    init(_ byteCount: Int, purpose: String, on device: CUDADevice) throws(ApusError) {
        self.device = device
        self.byteCount = byteCount
        try device.activate()
        var address: apus_cu_address = 0
        let status = device.driver.functions.allocate(&address, max(byteCount, 1))
        if status == APUS_CU_OUT_OF_MEMORY {
            throw ApusError(
                .outOfMemory,
                "\(byteCount) bytes for \(purpose) on GPU \(device.ordinal): \(try device.freeBytes()) bytes are free; "
                    + "choose a smaller model, batch or context")
        }
        try device.driver.check(status, "allocating \(byteCount) bytes for \(purpose)")
        self.address = address
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.deallocate(address)
    }
}

/// Device memory that several share.
final class CUDAMemory: DeviceMemory, @unchecked Sendable {
    private let allocation: CUDAAllocation
    /// The address as a pointer, which only the device may follow.
    let base: UnsafeMutableRawPointer

    init(_ byteCount: Int, purpose: String, on device: CUDADevice) throws(ApusError) {
        let allocation = try CUDAAllocation(byteCount, purpose: purpose, on: device)
        guard let base = UnsafeMutableRawPointer(bitPattern: UInt(allocation.address)) else {
            throw ApusError(.internal, "CUDA: memory for \(purpose) begins at address 0")
        }
        self.allocation = allocation
        self.base = base
    }

    var address: apus_cu_address { allocation.address }
    var byteCount: Int { allocation.byteCount }
}

/// Memory of the processor that the device reads and writes too.
final class CUDAHostMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    /// The memory as kernels see it.
    let address: apus_cu_address
    let byteCount: Int
    private let device: CUDADevice

    init(_ byteCount: Int, purpose: String, on device: CUDADevice) throws(ApusError) {
        self.device = device
        self.byteCount = byteCount
        try device.activate()
        let driver = device.driver
        var base: UnsafeMutableRawPointer?
        // 3: usable by every context, and mapped.
        try driver.check(
            driver.functions.host_allocate(&base, max(byteCount, 1), 3),
            "pinning \(byteCount) bytes for \(purpose)")
        guard let base else { throw ApusError(.outOfMemory, "\(byteCount) pinned bytes for \(purpose)") }
        self.base = base
        base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        var address: apus_cu_address = 0
        try driver.check(driver.functions.host_address(&address, base, 0), "mapping \(purpose)")
        self.address = address
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.host_deallocate(base)
    }
}

/// A queue of work on a device.
struct CUDAStream: ~Copyable {
    let handle: apus_cu_stream
    private let device: CUDADevice

    init(on device: CUDADevice) throws(ApusError) {
        self.device = device
        try device.activate()
        var handle: apus_cu_stream?
        // 1: does not wait for the default stream.
        try device.driver.check(device.driver.functions.stream_create(&handle, 1), "making a stream")
        guard let handle else { throw ApusError(.internal, "CUDA: no stream was made") }
        self.handle = handle
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.stream_destroy(handle)
    }
}

/// Kernels of one cubin, loaded.
struct CUDAModule: ~Copyable {
    let handle: apus_cu_module
    private let device: CUDADevice

    /// - Parameter image: The bytes of a cubin.
    init(_ image: [UInt8], name: String, on device: CUDADevice) throws(ApusError) {
        self.device = device
        try device.activate()
        var handle: apus_cu_module?
        let status = image.withUnsafeBytes { device.driver.functions.module_load(&handle, $0.baseAddress) }
        try device.driver.check(status, "loading kernels '\(name)' for \(device.architecture)")
        guard let handle else { throw ApusError(.internal, "CUDA: kernels '\(name)' were not loaded") }
        self.handle = handle
    }

    /// A function of the module.
    /// - Parameter sharedBytes: Dynamic shared memory that launches may ask for.
    borrowing func function(_ name: String, sharedBytes: Int) throws(ApusError) -> apus_cu_function {
        var function: apus_cu_function?
        let functions = device.driver.functions
        try device.driver.check(
            functions.module_function(&function, handle, name), "finding kernel '\(name)'")
        guard let function else { throw ApusError(.internal, "CUDA: there is no kernel '\(name)'") }
        if sharedBytes > 48 << 10 {
            try device.driver.check(
                functions.function_set(
                    function, Int32(APUS_CU_FUNCTION_DYNAMIC_SHARED_BYTES), Int32(sharedBytes)),
                "giving kernel '\(name)' \(sharedBytes) bytes of shared memory")
        }
        return function
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.module_unload(handle)
    }
}

/// A captured sequence of launches that is replayed as one.
struct CUDAGraph: ~Copyable {
    let handle: apus_cu_graph_exec
    private let device: CUDADevice

    /// Captures what `body` puts into a stream.
    init(
        _ stream: borrowing CUDAStream, on device: CUDADevice, _ body: () throws(ApusError) -> Void
    ) throws(ApusError) {
        self.device = device
        let (driver, functions) = (device.driver, device.driver.functions)
        // 2: other threads may allocate meanwhile.
        try driver.check(functions.capture_begin(stream.handle, 2), "starting to capture a graph")
        var graph: apus_cu_graph?
        do throws(ApusError) {
            try body()
        } catch {
            // A capture must end before the stream is of use again.
            if functions.capture_end(stream.handle, &graph) == APUS_CU_SUCCESS {
                _ = functions.graph_destroy(graph)
            }
            throw error
        }
        try driver.check(functions.capture_end(stream.handle, &graph), "capturing a graph")
        defer { _ = functions.graph_destroy(graph) }
        var exec: apus_cu_graph_exec?
        try driver.check(functions.graph_instantiate(&exec, graph, 0), "instantiating a graph")
        guard let exec else { throw ApusError(.internal, "CUDA: no graph was made") }
        handle = exec
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.graph_exec_destroy(handle)
    }
}

/// A point in a stream whose time is taken.
struct CUDAEvent: ~Copyable {
    let handle: apus_cu_event
    private let device: CUDADevice

    init(on device: CUDADevice) throws(ApusError) {
        self.device = device
        try device.activate()
        var handle: apus_cu_event?
        try device.driver.check(device.driver.functions.event_create(&handle, 0), "making an event")
        guard let handle else { throw ApusError(.internal, "CUDA: no event was made") }
        self.handle = handle
    }

    deinit {
        try? device.activate()
        _ = device.driver.functions.event_destroy(handle)
    }
}
