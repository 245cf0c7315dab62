import ApusEngine
import ApusSupport
import CApusCUDA

// Each type here owns one thing of the driver's and gives it back when it ends.

extension CUDADevice {
    /// Has the driver make something, in the device's context.
    /// - Parameter name: What it is, with its article.
    fileprivate func make<Handle>(
        _ name: @autoclosure () -> String, _ body: (apus_cu_driver, inout Handle?) -> apus_cu_result
    ) throws(ApusError) -> Handle {
        try activate()
        var handle: Handle?
        try driver.check(body(driver.functions, &handle), "making \(name())")
        guard let handle else { throw ApusError(.internal, "CUDA: making \(name()): nothing was made") }
        return handle
    }

    /// Gives something back to the driver, which can fail only where the process ends anyway.
    fileprivate func end(_ body: (apus_cu_driver) -> apus_cu_result) {
        try? activate()
        _ = body(driver.functions)
    }
}

/// Device memory that several share.
final class CUDAMemory: DeviceMemory, @unchecked Sendable {
    let device: CUDADevice
    let address: apus_cu_address
    let byteCount: Int
    /// The address as a pointer, which only the device may follow.
    let base: UnsafeMutableRawPointer

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
        guard let base = UnsafeMutableRawPointer(bitPattern: UInt(address)) else {
            throw ApusError(.internal, "CUDA: memory for \(purpose) begins at address 0")
        }
        self.address = address
        self.base = base
    }

    deinit { device.end { $0.deallocate(address) } }
}

/// Memory of the processor that the device reads and writes too.
final class CUDAHostMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    /// The memory as kernels see it.
    let address: apus_cu_address
    let byteCount: Int
    private let device: CUDADevice

    /// Pins zeros.
    init(_ byteCount: Int, purpose: String, on device: CUDADevice) throws(ApusError) {
        self.device = device
        self.byteCount = byteCount
        // 3: usable by every context, and mapped.
        base = try device.make("\(byteCount) pinned bytes for \(purpose)") { driver, base in
            driver.host_allocate(&base, max(byteCount, 1), 3)
        }
        base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        var address: apus_cu_address = 0
        try device.driver.check(
            device.driver.functions.host_address(&address, base, 0), "mapping \(purpose)")
        self.address = address
    }

    deinit { device.end { $0.host_deallocate(base) } }
}

/// A queue of work on a device.
struct CUDAStream: ~Copyable {
    let handle: apus_cu_stream
    private let device: CUDADevice

    init(on device: CUDADevice) throws(ApusError) {
        self.device = device
        // 1: does not wait for the default stream.
        handle = try device.make("a stream") { $0.stream_create(&$1, 1) }
    }

    deinit { device.end { $0.stream_destroy(handle) } }
}

/// Kernels of one cubin, loaded.
struct CUDAModule: ~Copyable {
    let handle: apus_cu_module
    private let device: CUDADevice

    /// - Parameter image: The bytes of a cubin.
    init(_ image: [UInt8], name: String, on device: CUDADevice) throws(ApusError) {
        self.device = device
        handle = try device.make("kernels '\(name)' for \(device.architecture)") { driver, handle in
            image.withUnsafeBytes { driver.module_load(&handle, $0.baseAddress) }
        }
    }

    /// A function of the module.
    /// - Parameter sharedBytes: Dynamic shared memory that launches may ask for.
    borrowing func function(_ name: String, sharedBytes: Int) throws(ApusError) -> apus_cu_function {
        let module = handle
        let function = try device.make("kernel '\(name)'") { driver, function in
            driver.module_function(&function, module, name)
        }
        if sharedBytes > 48 << 10 {
            try device.driver.check(
                device.driver.functions.function_set(
                    function, Int32(APUS_CU_FUNCTION_DYNAMIC_SHARED_BYTES), Int32(sharedBytes)),
                "giving kernel '\(name)' \(sharedBytes) bytes of shared memory")
        }
        return function
    }

    deinit { device.end { $0.module_unload(handle) } }
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
        handle = try device.make("a graph") { $0.graph_instantiate(&$1, graph, 0) }
    }

    deinit { device.end { $0.graph_exec_destroy(handle) } }
}

/// A point in a stream whose time is taken.
struct CUDAEvent: ~Copyable {
    let handle: apus_cu_event
    private let device: CUDADevice

    init(on device: CUDADevice) throws(ApusError) {
        self.device = device
        handle = try device.make("an event") { $0.event_create(&$1, 0) }
    }

    deinit { device.end { $0.event_destroy(handle) } }
}
