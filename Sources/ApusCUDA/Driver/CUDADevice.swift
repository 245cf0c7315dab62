import ApusSupport
import CApusCUDA

/// One GPU: what it is, and its primary context.
final class CUDADevice: @unchecked Sendable {
    let driver: CUDADriver
    let ordinal: Int
    /// The vendor's name.
    let name: String
    /// Compute capability, such as 9.0.
    let capability: (major: Int, minor: Int)
    /// Streaming multiprocessors.
    let processorCount: Int
    /// Bytes of device memory.
    let byteCount: Int
    /// Shared memory that a block may ask for.
    let sharedBytesPerBlock: Int
    private let device: apus_cu_device
    private let context: Background<Context>

    private struct Context: @unchecked Sendable {
        let handle: apus_cu_context
    }

    /// Opens a device; its context, which takes a while, is made in the background.
    /// - Throws: `.invalidInput` for one that is not there, `.unsupported` for one that is too old.
    init(_ ordinal: Int, driver: CUDADriver) throws(ApusError) {
        self.driver = driver
        self.ordinal = ordinal
        let count = try driver.deviceCount()
        guard (0..<count).contains(ordinal) else {
            throw ApusError(
                .invalidInput,
                "device cuda:\(ordinal): this machine has \(count) GPU(s); choose "
                    + (count == 0 ? "cpu" : count == 1 ? "cuda:0" : "cuda:0 to cuda:\(count - 1)"))
        }
        let functions = driver.functions
        var device: apus_cu_device = 0
        try driver.check(functions.device_get(&device, Int32(ordinal)), "opening GPU \(ordinal)")
        func attribute(_ id: Int) throws(ApusError) -> Int {
            try Self.attribute(id, of: device, ordinal, driver)
        }
        name = try Self.name(of: device, ordinal, driver)
        capability = (try attribute(Int(APUS_CU_MAJOR)), try attribute(Int(APUS_CU_MINOR)))
        processorCount = try attribute(Int(APUS_CU_PROCESSOR_COUNT))
        sharedBytesPerBlock = try attribute(Int(APUS_CU_SHARED_BYTES_PER_BLOCK_OPTIN))
        var bytes = 0
        try driver.check(functions.device_bytes(&bytes, device), "asking for the memory of GPU \(ordinal)")
        byteCount = bytes
        guard capability.major >= 8 else {
            throw ApusError(
                .unsupported,
                "GPU \(ordinal) (\(name)) has compute capability \(capability.major).\(capability.minor): expected 8.0 "
                    + "(Ampere) or newer; choose another device, or --device cpu")
        }
        self.device = device
        context = Background { [device] () throws(ApusError) in
            try PhaseTimes.measure("context") { () throws(ApusError) in
                try Self.retain(device, ordinal, driver)
            }
        }
    }

    /// Name and architecture of a GPU, without opening it.
    static func identity(_ ordinal: Int, driver: CUDADriver) throws(ApusError) -> String {
        var device: apus_cu_device = 0
        try driver.check(driver.functions.device_get(&device, Int32(ordinal)), "opening GPU \(ordinal)")
        let architecture = CUDAArchitecture(
            major: try attribute(Int(APUS_CU_MAJOR), of: device, ordinal, driver),
            minor: try attribute(Int(APUS_CU_MINOR), of: device, ordinal, driver))
        return "\(try name(of: device, ordinal, driver)) \(architecture)"
    }

    private static func name(
        of device: apus_cu_device, _ ordinal: Int, _ driver: CUDADriver
    ) throws(ApusError) -> String {
        var text = [CChar](repeating: 0, count: 128)
        try driver.check(
            driver.functions.device_name(&text, 127, device), "asking for the name of GPU \(ordinal)")
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func attribute(
        _ id: Int, of device: apus_cu_device, _ ordinal: Int, _ driver: CUDADriver
    ) throws(ApusError) -> Int {
        var value: Int32 = 0
        try driver.check(
            driver.functions.device_attribute(&value, Int32(id), device),
            "asking for attribute \(id) of GPU \(ordinal)")
        return Int(value)
    }

    private static func retain(
        _ device: apus_cu_device, _ ordinal: Int, _ driver: CUDADriver
    ) throws(ApusError) -> Context {
        var context: apus_cu_context?
        try driver.check(
            driver.functions.context_retain(&context, device), "making a context on GPU \(ordinal)")
        guard let context else { throw ApusError(.internal, "CUDA: GPU \(ordinal) gave no context") }
        return Context(handle: context)
    }

    /// A device of which nothing is there but its properties: those of the usual GPU of an architecture.
    init(imitating architecture: CUDAArchitecture, driver: CUDADriver = .null) {
        self.driver = driver
        ordinal = 0
        name = "a GPU of \(architecture)"
        capability = (architecture.major, architecture.minor)
        processorCount = architecture.nominalProcessorCount
        byteCount = 1 << 37
        sharedBytesPerBlock = architecture.sharedBytesPerBlock
        device = 0
        context = Background { () throws(ApusError) in try Self.retain(0, 0, driver) }
    }

    deinit {
        // A context that could not be made is not there to be given back.
        if (try? context.get()) != nil { _ = driver.functions.context_release(device) }
    }

    /// The architecture that kernels are compiled for.
    var architecture: CUDAArchitecture { CUDAArchitecture(major: capability.major, minor: capability.minor) }

    /// Makes the device that of the calling thread; every entry from outside begins with it.
    func activate() throws(ApusError) {
        try driver.check(
            driver.functions.context_set(context.get().handle), "entering the context of GPU \(ordinal)")
    }

    /// Bytes of device memory that nobody has.
    func freeBytes() throws(ApusError) -> Int {
        var (free, total) = (0, 0)
        try driver.check(driver.functions.memory_info(&free, &total), "asking for free memory")
        return free
    }
}

/// A GPU architecture as kernels are compiled for it.
public struct CUDAArchitecture: Sendable, Hashable, CustomStringConvertible {
    /// Compute capability.
    public let major: Int
    /// Compute capability behind the point.
    public let minor: Int

    /// Names an architecture by its compute capability.
    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// The architectures that kernels are written and compiled for.
    public static let all = [(8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0)].map {
        CUDAArchitecture(major: $0.0, minor: $0.1)
    }

    /// The reference: H100 and H200.
    public static let hopper = CUDAArchitecture(major: 9, minor: 0)

    /// Reads what ``description`` writes, also without the `a`.
    public init?(_ text: String) {
        guard text.hasPrefix("sm_") else { return nil }
        var digits = text.dropFirst(3)
        if digits.hasSuffix("a") { digits = digits.dropLast() }
        guard let number = Int(digits), number >= 80 else { return nil }
        self.init(major: number / 10, minor: number % 10)
    }

    /// As in `sm_90a`: Hopper's own instructions are part of its target.
    public var description: String { "sm_\(major)\(minor)" + ((major, minor) == (9, 0) ? "a" : "") }
}
