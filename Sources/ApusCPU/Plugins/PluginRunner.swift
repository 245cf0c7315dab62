public import ApusEngine
public import ApusGraph
public import ApusSupport
import CApusCPU

/// Runs the op of one plugin alone, without a model around it: to try it, to test it, to time it.
///
///     let runner = try PluginRunner(plugin, operands: types, attributes: [:], backend: backend)
///     try runner.write(x, to: 0)
///     try runner.run()
///     let y = try runner.result(0)
///
/// The kernel is bound, resized, prepared and run just as in a model. Operands keep what was written to them, and
/// state that the op updates in place stays from run to run. One caller at a time, who does not run a model on the
/// same backend meanwhile.
public final class PluginRunner {
    /// The plugin.
    public let plugin: any Plugin

    private let attributes: [String: Attribute]
    private let registry: OpRegistry
    private let backend: CPUBackend
    private let operands: [Slot?]
    private let results: [Slot]
    private let job: PluginJob
    private var isResized = false

    /// Binds the plugin's kernel to memory of its own.
    /// - Parameters:
    ///   - plugin: A plugin with a kernel for processors.
    ///   - operands: Types at the largest sizes they will have; nil for an optional operand that is absent.
    ///   - attributes: The op's attributes; those left out have their defaults.
    ///   - backend: What runs the kernel.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold, `.unsupported` if the plugin has no
    ///   kernel for these types, and what its kernel throws.
    public init(
        _ plugin: any Plugin, operands types: [TensorType?], attributes: [String: Attribute] = [:],
        backend: CPUBackend
    ) throws(ApusError) {
        self.plugin = plugin
        self.backend = backend
        self.attributes = plugin.op.attributeDefaults.merging(attributes) { _, own in own }
        registry = OpRegistry([plugin.op])
        let resultTypes = try GraphBuilder.resultTypes(plugin.op.name, types, attributes, registry)
        let query = KernelQuery(
            op: plugin.op.name, operands: types, results: resultTypes, attributes: self.attributes)
        if case .none(let reason) = backend.choose(plugin, for: query) {
            throw ApusError(.unsupported, reason)
        }
        guard let kernel = plugin.cpu else {
            throw ApusError(.unsupported, "plugin \(plugin.id) has no CPU kernel")
        }
        var operands: [Slot?] = []
        for (index, type) in types.enumerated() {
            let packing = kernel.packing(of: index, for: query)
            operands.append(
                try type.map { type throws(ApusError) in try Slot("operand \(index)", type, packing) })
        }
        var results: [Slot] = []
        for (index, type) in resultTypes.enumerated() {
            if let source = plugin.inPlace[index], source < operands.count, let slot = operands[source] {
                results.append(slot)
            } else {
                results.append(try Slot("result \(index)", type))
            }
        }
        self.operands = operands
        self.results = results
        let launch = try kernel.makeLaunch(
            CPUKernelSetup(
                operands: operands.map { $0?.binding }, results: results.map(\.binding),
                attributes: self.attributes, workerCount: backend.threadCount,
                instructionSet: backend.instructionSet.rawValue))
        job = try PluginJob(launch, pool: backend.pool)
    }

    /// Gives an operand its values and, with them, its current shape.
    /// - Throws: `.mismatch` for an operand that is absent, or of another element type or rank, or larger than the
    ///   runner was made for.
    public func write(_ tensor: Tensor, to operand: Int) throws(ApusError) {
        guard operands.indices.contains(operand), let slot = operands[operand] else {
            throw ApusError(.mismatch, "operand \(operand) is absent from this runner")
        }
        let fits = zip(tensor.shape, slot.binding.maximumShape).allSatisfy(<=)
        guard tensor.element == slot.binding.type.element, tensor.isComplete,
            tensor.shape.count == slot.binding.type.rank, fits
        else {
            throw ApusError(
                .mismatch, "operand \(operand): expected at most \(slot.binding.type), got \(tensor)")
        }
        if slot.shape != tensor.shape {
            slot.shape = tensor.shape
            isResized = false
        }
        slot.write(tensor, backend)
        try slot.pack()
    }

    /// Runs the op once over what the operands hold.
    /// - Throws: `.mismatch` with every constraint of the op that the current shapes break, and what the launch
    ///   throws when it is prepared.
    public func run() throws(ApusError) {
        if !isResized { try resize() }
        try job.launch.prepare()
        backend.pool.run(job)
    }

    private func resize() throws(ApusError) {
        let types = operands.map { $0.map { TensorType($0.binding.type.element, $0.shape) } }
        let resultTypes = try GraphBuilder.resultTypes(plugin.op.name, types, attributes, registry)
        for (slot, type) in zip(results, resultTypes) { slot.shape = type.constantShape ?? slot.shape }
        job.launch.resize(
            KernelShapes(operands: operands.map { $0?.shape }, results: results.map(\.shape)))
        isResized = true
    }

    /// The values of a result of the last run.
    /// - Throws: `.invalidInput` if there is no such result.
    public func result(_ index: Int = 0) throws(ApusError) -> Tensor {
        guard results.indices.contains(index) else {
            throw ApusError(
                .invalidInput, "result \(index): op '\(plugin.op.name)' has \(results.count) result(s)")
        }
        return results[index].read(backend)
    }

    /// The values that an operand holds now.
    /// - Throws: `.invalidInput` if it is absent.
    public func operand(_ index: Int) throws(ApusError) -> Tensor {
        guard operands.indices.contains(index), let slot = operands[index] else {
            throw ApusError(.invalidInput, "operand \(index) is absent from this runner")
        }
        return slot.read(backend)
    }
}

/// Memory of one tensor of a runner.
private final class Slot {
    let binding: KernelTensor
    var shape: [Int]
    /// The elements, row-major.
    private let buffer: HugeBuffer
    /// How the kernel reads a weight, and the memory that it reads then.
    private let packed: (packing: any WeightPacking, buffer: HugeBuffer)?

    init(_ name: String, _ type: TensorType, _ packing: (any WeightPacking)? = nil) throws(ApusError) {
        guard let shape = type.constantShape, shape.allSatisfy({ $0 >= 0 }) else {
            throw ApusError(
                .mismatch, "\(name): expected a type of constant shape, its largest sizes, got \(type)")
        }
        self.shape = shape
        buffer = try HugeBuffer(
            byteCount: shape.reduce(type.element.byteCount, *), purpose: "\(name) of a plugin")
        if let packing, let bytes = packing.byteCount(of: type) {
            packed = (packing, try HugeBuffer(byteCount: bytes, purpose: "\(name) of a plugin, packed"))
        } else {
            packed = nil
        }
        binding = KernelTensor(
            name: name, type: type, maximumShape: shape, isComputed: false, packing: packed?.packing.name,
            pointer: (packed?.buffer ?? buffer).base)
    }

    /// Brings a weight into the order that the kernel reads.
    func pack() throws(ApusError) {
        guard let packed else { return }
        guard shape == binding.maximumShape else {
            throw ApusError(
                .mismatch,
                "\(binding.name) is packed: expected its whole shape \(binding.maximumShape), got \(shape)")
        }
        let count = shape.reduce(element.byteCount, *)
        try packed.packing.pack(
            UnsafeRawBufferPointer(start: buffer.base, count: count), binding.type,
            into: UnsafeMutableRawBufferPointer(start: packed.buffer.base, count: packed.buffer.byteCount))
    }

    private var element: ElementType { binding.type.element }

    func write(_ tensor: Tensor, _ backend: CPUBackend) {
        if element.isFloat {
            tensor.floats.withUnsafeBytes { bytes in
                guard let source = bytes.baseAddress else { return }
                backend.convert(source, .f32, buffer.base, element, count: tensor.floats.count)
            }
        } else {
            for (index, value) in tensor.ints.enumerated() {
                let at = buffer.base + index * element.byteCount
                switch element {
                case .i64: at.storeBytes(of: Int64(value), as: Int64.self)
                case .i32: at.storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
                default: at.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
                }
            }
        }
    }

    func read(_ backend: CPUBackend) -> Tensor {
        let count = shape.reduce(1, *)
        if element.isFloat {
            let floats = [Float](unsafeUninitializedCapacity: count) { floats, initialized in
                initialized = count
                guard let target = floats.baseAddress else { return }
                backend.convert(buffer.base, element, target, .f32, count: count)
            }
            return Tensor(unchecked: element, shape, floats, [])
        }
        let ints = (0..<count).map { index -> Int in
            let at = buffer.base + index * element.byteCount
            return switch element {
            case .i64: Int(at.load(as: Int64.self))
            case .i32: Int(at.load(as: Int32.self))
            case .i8: Int(at.load(as: Int8.self))
            default: Int(at.load(as: UInt8.self))
            }
        }
        return Tensor(unchecked: element, shape, [], ints)
    }
}

/// All phases of one launch on the workers of a pool.
private final class PluginJob: PoolJob {
    let launch: any CPULaunch
    private let pool: ThreadPool
    private let scratch = Scratch()

    init(_ launch: any CPULaunch, pool: ThreadPool) throws(ApusError) {
        self.launch = launch
        self.pool = pool
        try scratch.reserve(launch.scratchBytes, workers: pool.count)
    }

    func run(worker: Int) {
        for phase in 0..<launch.phaseCount {
            launch.run(
                CPUWorker(phase: phase, index: worker, count: pool.count, scratch: scratch[worker]))
            pool.barrier()
        }
    }
}
