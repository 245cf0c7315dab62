import ApusEngine
import ApusSupport
import CApusCUDA

/// One launch of a kernel with all that it is given.
struct KernelCall {
    /// What the kernel is compiled from.
    let unit: KernelUnit
    /// Name of the function in the source.
    let function: String
    /// Blocks of the grid.
    let grid: CUDALaunch.Size
    /// Threads of a block.
    let block: CUDALaunch.Size
    /// Bytes of dynamic shared memory of a block.
    let sharedBytes: Int
    /// Whether its blocks wait for each other, so that all of them must run at once.
    let isCooperative: Bool
    /// What the function takes, in order.
    let arguments: [KernelArgument]

    init(
        _ unit: KernelUnit, _ function: String, grid: CUDALaunch.Size, block: CUDALaunch.Size,
        sharedBytes: Int = 0, isCooperative: Bool = false,
        _ arguments: [KernelArgument]
    ) {
        self.unit = unit
        self.function = function
        self.grid = grid
        self.block = block
        self.sharedBytes = sharedBytes
        self.isCooperative = isCooperative
        self.arguments = arguments
    }
}

extension KernelCall {
    /// Clusters of it that a GPU runs at once, the kernel's own size of clusters given.
    func mostClusters(_ library: KernelLibrary, on device: CUDADevice) throws(ApusError) -> Int {
        let function = try library.function(unit, self.function, sharedBytes: sharedBytes)
        var config = apus_cu_launch_config()
        (config.grid_x, config.grid_y, config.grid_z) = (UInt32(grid.x), UInt32(grid.y), UInt32(grid.z))
        (config.block_x, config.block_y, config.block_z) = (UInt32(block.x), UInt32(block.y), UInt32(block.z))
        config.shared_bytes = UInt32(sharedBytes)
        var count: Int32 = 0
        try device.activate()
        try device.driver.check(
            device.driver.functions.occupancy_clusters(&count, function.handle, &config),
            "asking how many clusters of \(unit.id) the GPU runs at once")
        return Int(count)
    }
}

/// One argument of a kernel.
enum KernelArgument {
    /// An address of the device; nil is null.
    case pointer(UnsafeRawPointer?)
    case int32(Int)
    case int64(Int)
    case float(Float)
    /// A structure of 64-bit integers, by value.
    case words([Int])
    /// A structure of addresses, by value.
    case pointers([UnsafeRawPointer?])

    /// Bytes in the list of arguments.
    var byteCount: Int {
        switch self {
        case .pointer, .int64: 8
        case .int32, .float: 4
        case .words(let words): 8 * words.count
        case .pointers(let pointers): 8 * pointers.count
        }
    }

    func store(at place: UnsafeMutableRawPointer) {
        switch self {
        case .pointer(let pointer): place.storeBytes(of: UInt64(UInt(bitPattern: pointer)), as: UInt64.self)
        case .int32(let value): place.storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
        case .int64(let value): place.storeBytes(of: Int64(value), as: Int64.self)
        case .float(let value): place.storeBytes(of: value, as: Float.self)
        case .words(let words):
            for (index, word) in words.enumerated() {
                place.storeBytes(of: Int64(word), toByteOffset: 8 * index, as: Int64.self)
            }
        case .pointers(let pointers):
            for (index, pointer) in pointers.enumerated() {
                place.storeBytes(
                    of: UInt64(UInt(bitPattern: pointer)), toByteOffset: 8 * index, as: UInt64.self)
            }
        }
    }
}

extension KernelArgument: CustomStringConvertible {
    /// Addresses are not told: they differ from run to run.
    var description: String {
        switch self {
        case .pointer(let pointer): pointer == nil ? "null" : "*"
        case .int32(let value), .int64(let value): "\(value)"
        case .float(let value): "\(value)"
        case .words(let words): "[\(words.map(String.init).joined(separator: " "))]"
        case .pointers(let pointers): "[\(pointers.map { $0 == nil ? "null" : "*" }.joined(separator: " "))]"
        }
    }
}

extension KernelCall: CustomStringConvertible {
    /// As in `gemv(K=896).gemv <132> <256> 3584 B (*, *, 896)`.
    var description: String {
        func text(_ size: CUDALaunch.Size) -> String {
            size.z != 1 ? "\(size.x)×\(size.y)×\(size.z)" : size.y != 1 ? "\(size.x)×\(size.y)" : "\(size.x)"
        }
        let shared = sharedBytes > 0 ? " \(sharedBytes) B" : ""
        let together = isCooperative ? " together" : ""
        let list = arguments.map(\.description).joined(separator: ", ")
        return "\(unit.id).\(function) <\(text(grid))> <\(text(block))>\(shared)\(together) (\(list))"
    }
}

/// A launch whose function is loaded and whose arguments are laid out: putting it into a stream allocates nothing.
final class PreparedCall {
    let call: KernelCall
    private let function: CUDAFunction
    private let storage: UnsafeMutableRawPointer
    private let pointers: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private let attributes: UnsafeMutablePointer<apus_cu_launch_attribute>
    private var attributeCount = 0
    private let driver: CUDADriver

    /// - Parameters:
    ///   - overlaps: Whether the kernel may start before the one before it has ended; it waits itself.
    ///   - sharesProcessors: Whether processors give all memory that they can to blocks, as kernels beside this one ask: what
    ///     divides it otherwise must wait until a processor is empty.
    init(
        _ call: KernelCall, _ library: KernelLibrary, on device: CUDADevice, overlaps: Bool,
        sharesProcessors: Bool = false
    ) throws(ApusError) {
        self.call = call
        driver = device.driver
        function = try library.function(call.unit, call.function, sharedBytes: call.sharedBytes)
        if sharesProcessors {
            try driver.check(
                driver.functions.function_set(function.handle, Int32(APUS_CU_FUNCTION_SHARED_CARVEOUT), 100),
                "dividing the memory of processors for \(call)")
        }
        // Every argument at a multiple of 8, which suits all types.
        let bytes = call.arguments.reduce(0) { $0 + ($1.byteCount + 7) / 8 * 8 }
        storage = .allocate(byteCount: max(bytes, 8), alignment: 8)
        pointers = .allocate(capacity: max(call.arguments.count, 1))
        pointers.initialize(repeating: nil, count: max(call.arguments.count, 1))
        var offset = 0
        for (index, argument) in call.arguments.enumerated() {
            argument.store(at: storage + offset)
            pointers[index] = storage + offset
            offset += (argument.byteCount + 7) / 8 * 8
        }
        attributes = .allocate(capacity: 2)
        attributes.initialize(repeating: apus_cu_launch_attribute(), count: 2)
        if call.isCooperative { turnOn(APUS_CU_LAUNCH_COOPERATIVE) }
        if overlaps, device.capability.major >= 9 { turnOn(APUS_CU_LAUNCH_PROGRAMMATIC) }
    }

    private func turnOn(_ attribute: some BinaryInteger) {
        attributes[attributeCount].id = Int32(attribute)
        attributes[attributeCount].value.flag = 1
        attributeCount += 1
    }

    deinit {
        storage.deallocate()
        pointers.deallocate()
        attributes.deallocate()
    }

    /// Puts the launch into a stream.
    func enqueue(_ stream: apus_cu_stream) throws(ApusError) {
        var config = apus_cu_launch_config(
            grid_x: UInt32(call.grid.x), grid_y: UInt32(call.grid.y), grid_z: UInt32(call.grid.z),
            block_x: UInt32(call.block.x), block_y: UInt32(call.block.y), block_z: UInt32(call.block.z),
            shared_bytes: UInt32(call.sharedBytes), stream: stream, attributes: attributes,
            attribute_count: UInt32(attributeCount))
        try driver.check(
            driver.functions.launch(&config, function.handle, pointers, nil), "launching \(call)")
    }
}
