public import ApusEngine
public import ApusGraph
public import ApusSupport
import CApusCPU

/// Runs engines on the processor's own cores.
public final class CPUBackend: Backend {
    /// The instructions the kernels use.
    public let instructionSet: InstructionSet
    /// Number of threads that compute.
    public let threadCount: Int
    let pool: ThreadPool
    // A table of constants in the C target.
    nonisolated(unsafe) let kernels: UnsafePointer<apus_kernels>

    /// Chooses kernels and starts threads.
    /// - Parameters:
    ///   - threads: Number of threads, of ``ThreadPool/counts``; nil is ``Topology/defaultThreadCount()``.
    ///   - instructionSet: Kernels to use; nil is what `APUS_CPU` names, else the best the processor has.
    /// - Throws: `.invalidInput` or `.unsupported` for a value this machine cannot serve.
    public init(threads: Int? = nil, instructionSet: InstructionSet? = nil) throws(ApusError) {
        let set: InstructionSet
        if let instructionSet { set = instructionSet } else { set = try InstructionSet.chosen() }
        guard let kernels = set.kernels else {
            throw ApusError(.unsupported, "this processor does not offer \(set.rawValue) instructions")
        }
        self.instructionSet = set
        self.kernels = kernels
        threadCount = threads ?? Topology.defaultThreadCount()
        pool = try ThreadPool(count: threadCount)
    }

    /// `cpu`.
    public var name: String { "cpu" }

    /// The instruction set and the number of threads.
    public var summary: String { "\(instructionSet.rawValue) kernels, \(threadCount) threads" }

    /// All kernels of the CPU.
    public var catalog: KernelCatalog { Self.catalog }

    /// The layout that the kernels read weights in.
    public var weightLayout: Int { Self.weightLayout }

    /// Version of the layout of weights: each in the packing that the plan names, else row-major.
    public static let weightLayout = 2

    /// The names of all kernels, in order of preference.
    public static var kernelNames: [String] { catalog.entries.map(\.kernel) }

    private static let catalog = KernelCatalog(
        [
            EmbeddingLaunch.entry, LinearLaunch.entry, Int8LinearLaunch.entry, SwiGLULaunch.entry,
            GatherLastTokenLaunch.entry, CopyLaunch.entry, CatLaunch.entry, PadLaunch.entry,
            ConvertLaunch.entry, MaskBiasLaunch.entry, KVUpdateLaunch.entry, LogicalNotLaunch.entry,
            WhereLaunch.entry, SoftmaxLaunch.entry, IndexCopyLaunch.entry, RopeLaunch.entry,
            MatmulLaunch.entry, AttentionLaunch.entry,
        ] + NormLaunch.entries + UnaryLaunch.entries + BinaryLaunch.entries + RelationLaunch.entries
            + ReduceLaunch.entries + TriangleLaunch.entries + GeneratorLaunch.entries + IndexLaunch.entries)

    /// The plugin's kernel for processors.
    public func choose(_ plugin: any Plugin, for query: KernelQuery) -> KernelCatalog.Choice {
        guard let kernel = plugin.cpu else { return .none(reason: "plugin \(plugin.id) has no CPU kernel") }
        if let reason = kernel.refusal(query) { return .none(reason: "plugin \(plugin.id): \(reason)") }
        let entry = KernelEntry(
            op: plugin.op.name, kernel: "cpu.\(plugin.op.name)",
            forms: query.operands.indices.map { OperandForm(packing: kernel.packing(of: $0, for: query)) },
            inPlace: plugin.inPlace)
        return .kernel(entry, operands: query.operands)
    }

    /// Makes the launch of a step.
    static func launch(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) -> Launch {
        if let plugin = step.plugin {
            return try PluginLaunch(step, context, try context.plugins.plugin(plugin))
        }
        return switch step.op {
        case "embedding": try EmbeddingLaunch(step, context)
        case "linear": try LinearLaunch(step, context)
        case "int8_linear": try Int8LinearLaunch(step, context)
        case "swiglu": try SwiGLULaunch(step, context)
        case "gather_last_token": try GatherLastTokenLaunch(step, context)
        case "rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm": try NormLaunch(step, context)
        case "copy": try CopyLaunch(step, context)
        case "cat": try CatLaunch(step, context)
        case "pad": try PadLaunch(step, context)
        case "to": try ConvertLaunch(step, context)
        case "mask_bias": try MaskBiasLaunch(step, context)
        case "kv_update": try KVUpdateLaunch(step, context)
        case "logical_not": try LogicalNotLaunch(step, context)
        case "where": try WhereLaunch(step, context)
        case "softmax": try SoftmaxLaunch(step, context)
        case "triu", "tril": try TriangleLaunch(step, context)
        case "index", "index_select": try IndexLaunch(step, context)
        case "index_copy": try IndexCopyLaunch(step, context)
        case "rope": try RopeLaunch(step, context)
        case "matmul": try MatmulLaunch(step, context)
        case "attention": try AttentionLaunch(step, context)
        case let op where BinaryLaunch.ops.contains(op): try BinaryLaunch(step, context)
        case let op where RelationLaunch.ops.contains(op): try RelationLaunch(step, context)
        case let op where ReduceLaunch.ops.contains(op): try ReduceLaunch(step, context)
        case let op where GeneratorLaunch.ops.contains(op): try GeneratorLaunch(step, context)
        default: try UnaryLaunch(step, context)
        }
    }

    /// Converts elements; the kernel of the chosen instruction set does it.
    public func convert(
        _ source: UnsafeRawPointer, _ sourceType: ElementType, _ destination: UnsafeMutableRawPointer,
        _ destinationType: ElementType, count: Int
    ) {
        if sourceType == destinationType {
            destination.copyMemory(from: source, byteCount: count * sourceType.byteCount)
        } else if let from = try? LaunchContext.dtype(sourceType),
            let to = try? LaunchContext.dtype(destinationType)
        {
            kernels.pointee.convert(source, from, destination, to, count)
        }
    }

    /// Prepares an engine to run on this backend's threads.
    public func makeExecutor(_ engine: Engine, limits: SessionLimits) throws(ApusError) -> any Executor {
        try engine.plugins.check(engine.plan)
        return try engine.makeExecutor(on: CPUDevice(kernels: kernels, pool: pool), limits: limits)
    }

    /// Measures how fast all threads together read memory.
    /// - Parameter byteCount: Size of the buffer read; far larger than the caches to measure memory.
    /// - Returns: Bytes a second, the best of several passes.
    public func measureReadBandwidth(byteCount: Int = 1 << 30) throws(ApusError) -> Double {
        let buffer = try HugeBuffer(byteCount: byteCount, purpose: "the bandwidth probe")
        let job = ReadProbe(buffer: buffer, kernels: kernels, workers: threadCount)
        pool.run(job)
        var best = Double.infinity
        for _ in 0..<8 {
            let clock = ContinuousClock()
            let duration = clock.measure { pool.run(job) }
            best = min(best, duration / .seconds(1))
        }
        return Double(byteCount) / best
    }
}

/// Reads a buffer once, each worker its share.
private final class ReadProbe: PoolJob {
    private let buffer: HugeBuffer
    private let kernels: UnsafePointer<apus_kernels>
    private let workers: Int
    private var isTouched = false

    init(buffer: HugeBuffer, kernels: UnsafePointer<apus_kernels>, workers: Int) {
        self.buffer = buffer
        self.kernels = kernels
        self.workers = workers
        // Untouched pages all map to one page of zeros and would be read from the cache.
        (buffer.base).initializeMemory(as: UInt8.self, repeating: 1, count: buffer.byteCount)
    }

    func run(worker: Int) {
        let range = share(buffer.byteCount, worker, workers, grain: 4096)
        _ = kernels.pointee.stream_read(buffer.base + range.lowerBound, range.count)
    }
}
