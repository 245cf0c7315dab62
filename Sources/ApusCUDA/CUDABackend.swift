public import ApusEngine
public import ApusGraph
public import ApusSupport
import CApusCUDA

/// Runs engines on an NVIDIA GPU.
public final class CUDABackend: Backend {
    /// Converts elements of weights while an engine is built.
    private let host: any Backend
    let runtime: CUDARuntime
    /// The architectures that kernels are compiled for when an engine is built; the device's own where empty.
    private let targets: [CUDAArchitecture]

    /// Opens a GPU.
    /// - Parameters:
    ///   - ordinal: Its number, as the driver counts.
    ///   - host: The processor's backend, which converts weights.
    /// - Throws: `.unsupported` without a driver or a usable GPU, `.invalidInput` for a GPU that is not there.
    public convenience init(device ordinal: Int = 0, host: any Backend) throws(ApusError) {
        self.init(try CUDADevice(ordinal, driver: try CUDADriver.system()), [], host: host)
    }

    /// A backend that compiles for GPUs which this machine need not have; it runs nothing.
    /// - Parameter architectures: What kernels are compiled for.
    public convenience init(
        compilingFor architectures: [CUDAArchitecture], host: any Backend
    ) {
        self.init(CUDADevice(imitating: architectures.first ?? .hopper), architectures, host: host)
    }

    private init(
        _ device: CUDADevice, _ targets: [CUDAArchitecture], host: any Backend, stacksLayers: Bool? = nil
    ) {
        runtime = CUDARuntime(device, stacksLayers: stacksLayers)
        self.targets = targets
        self.host = host
    }

    /// The same GPU or architectures; tells whether one kernel may compute all layers of a decode step, for checks.
    package func stackingLayers(_ stacksLayers: Bool) throws(ApusError) -> CUDABackend {
        let device = runtime.device
        let own =
            device.driver.isNull ? device : try CUDADevice(device.ordinal, driver: device.driver)
        return CUDABackend(own, targets, host: host, stacksLayers: stacksLayers)
    }

    /// What kernels are compiled for when an engine is built.
    var architectures: [CUDAArchitecture] { targets.isEmpty ? [runtime.device.architecture] : targets }

    /// `cuda`.
    public var name: String { "cuda" }

    /// 4096: products of fewer rows leave a large GPU half idle.
    public var promptChunk: Int { 4096 }

    /// All kernels of GPUs.
    public var catalog: KernelCatalog { Self.catalog }

    private static let catalog = KernelCatalog(StepKind.all.map(\.entry))

    /// The names of all kernels, in order of preference.
    public static var kernelNames: [String] { catalog.entries.map(\.kernel) }

    /// Version of the layout of weights: row-major, and int4 as its kernels read it.
    public var weightLayout: Int { Self.weightLayout }

    /// Version of the layout of weights.
    public static let weightLayout = 1

    /// The device's name, compute capability and memory.
    public var summary: String { runtime.device.summary }

    /// The plugin's kernel for GPUs.
    public func choose(_ plugin: any Plugin, for query: KernelQuery) -> KernelCatalog.Choice {
        guard let kernel = plugin.cuda else { return .none(reason: "plugin \(plugin.id) has no CUDA kernel") }
        let entry: KernelEntry
        if kernel.isNative {
            guard let native = StepKind.pluginKinds[plugin.op.name]?.entry else {
                return .none(reason: "plugin \(plugin.id): the backend has no kernel of its own for it")
            }
            entry = native
        } else {
            entry = KernelEntry(
                op: plugin.op.name, kernel: "cuda.plugin.\(plugin.op.name)", inPlace: plugin.inPlace,
                refusal: kernel.refusal)
        }
        if let reason = entry.refusal(query) { return .none(reason: "plugin \(plugin.id): \(reason)") }
        return .kernel(entry.specialised(for: query), operands: query.operands)
    }

    /// Converts elements on the processor, while an engine is built.
    public func convert(
        _ source: UnsafeRawPointer, _ sourceType: ElementType, _ destination: UnsafeMutableRawPointer,
        _ destinationType: ElementType, count: Int
    ) { host.convert(source, sourceType, destination, destinationType, count: count) }

    /// Pinned memory through which weights reach the GPU while they are read; meanwhile the engine's kernels are loaded.
    public func receiveWeights(
        of engine: EngineBlueprint, byteCount: Int
    ) throws(ApusError) -> (any WeightReceiver)? {
        guard !runtime.device.driver.isNull else { return nil }
        runtime.kernels.add(engine.kernels)
        runtime.kernels.load(Set(engine.kernels.images(for: runtime.device.architecture.description).keys))
        return try WeightUpload(byteCount, on: runtime.device)
    }

    /// Prepares an engine to run on the GPU.
    public func makeExecutor(_ engine: Engine, limits: SessionLimits) throws(ApusError) -> any Executor {
        guard !runtime.device.driver.isNull else {
            throw ApusError(
                .unsupported, "this backend only compiles; open a GPU to run an engine on it")
        }
        try engine.plugins.check(engine.plan)
        var limits = limits
        // Rows of a cache begin where 16 bytes may be read at once, scales of codes too.
        limits.capacity = (limits.capacity + 15) / 16 * 16
        return try engine.makeExecutor(on: CUDAPlanDevice(runtime: runtime), limits: limits)
    }
}
