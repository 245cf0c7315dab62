import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// What the launches of a plan are bound to: addresses, sizes, scratch.
final class DeviceContext {
    let device: CUDADevice
    let plan: Plan
    let frame: Frame
    let limits: SessionLimits
    /// The values that sizes and positions are computed from.
    let symbols: SymbolValues
    /// How large sizes may become.
    let bounds: SizeBounds
    let plugins: PluginRegistry
    /// First byte of the memory that each tensor of the plan lies in.
    let addresses: [UnsafeMutableRawPointer]
    /// Memory for the inside of a step; what it holds at first is undefined, and steps share it one after another.
    private var scratch: CUDAMemory?
    /// i32 zeros that launches count in and leave at zero; each step has its own.
    private let counters: CUDAMemory
    private var usedCounters = 0
    /// One i32 that kernels set to the step + 1 whose data have no answer.
    let fault: CUDAMemory

    private static let mostCounters = 1 << 16

    init(
        _ binding: PlanBinding, addresses: [UnsafeMutableRawPointer], on device: CUDADevice
    ) throws(ApusError) {
        self.device = device
        plan = binding.plan
        frame = binding.frame
        limits = binding.limits
        symbols = binding.symbols
        bounds = binding.bounds
        plugins = binding.engine.plugins
        self.addresses = addresses
        counters = try CUDAMemory(4 * Self.mostCounters, purpose: "counters", on: device)
        fault = try CUDAMemory(4, purpose: "faults", on: device)
        for memory in [counters, fault] {
            try device.driver.check(
                device.driver.functions.fill(memory.address, 0, memory.byteCount, nil), "clearing counters")
        }
        try device.driver.check(device.driver.functions.stream_synchronize(nil), "clearing counters")
    }

    /// The architecture's usual number of processors: kernels are specialised by it, so that an engine fits all GPUs of
    /// an architecture; grids follow the device's own number.
    var nominalProcessorCount: Int { device.architecture.nominalProcessorCount }

    /// Processors of the device.
    var processorCount: Int { device.processorCount }

    /// Makes sure that steps have so many bytes of scratch, before the first pass.
    func reserveScratch(_ bytes: Int) throws(ApusError) {
        guard bytes > scratch?.byteCount ?? 0 else { return }
        scratch = try CUDAMemory(bytes, purpose: "kernel scratch", on: device)
    }

    /// Bytes of scratch.
    var scratchBytes: Int { scratch?.byteCount ?? 0 }

    /// The scratch, from a byte on.
    func scratch(at offset: Int = 0) -> UnsafeMutableRawPointer? { scratch.map { $0.base + offset } }

    /// So many counters of a step's own.
    /// - Throws: `.internal` if there are no more.
    func takeCounters(_ count: Int) throws(ApusError) -> UnsafeMutableRawPointer {
        guard usedCounters + count <= Self.mostCounters else {
            throw ApusError(.internal, "a plan needs more than \(Self.mostCounters) counters")
        }
        defer { usedCounters += count }
        return counters.base + 4 * usedCounters
    }

    func type(_ tensor: Int?) throws(ApusError) -> TensorType { plan.tensors[try index(tensor)].type }

    /// A tensor with the sizes and steps of the current pass.
    func view(_ tensor: Int?) throws(ApusError) -> TensorView {
        let index = try index(tensor)
        return try TensorView(plan.tensors[index], addresses[index], symbols)
    }

    /// An operand that may be absent.
    func optionalView(_ step: Plan.Step, _ operand: Int) throws(ApusError) -> TensorView? {
        guard operand < step.operands.count, let tensor = step.operands[operand] else { return nil }
        return try view(tensor)
    }

    /// A dimension in the form that is evaluated in each pass.
    func size(_ dimension: Dimension) throws(ApusError) -> Size { try symbols.size(dimension) }

    /// The largest value of a dimension.
    func most(_ dimension: Dimension) throws(ApusError) -> Int {
        guard let most = bounds.upperBound(of: dimension) else {
            throw ApusError(.internal, "no bound for the size \(dimension)")
        }
        return most
    }

    private func index(_ tensor: Int?) throws(ApusError) -> Int {
        guard let tensor else { throw ApusError(.internal, "a step lacks an operand that its kernel needs") }
        return tensor
    }
}

extension CUDAArchitecture {
    /// Processors of the usual GPU of the architecture.
    var nominalProcessorCount: Int {
        switch (major, minor) {
        case (8, 0): 108
        case (8, 6): 84
        case (8, 7): 16
        case (8, _): 128
        case (9, _): 132
        case (10, _): 148
        default: 170
        }
    }
}
