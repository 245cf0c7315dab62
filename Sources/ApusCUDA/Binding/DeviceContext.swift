import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// Memory that the launches of all passes share, one after another.
final class DeviceScratch {
    private let device: CUDADevice
    private var scratch: CUDAMemory?
    /// i32 zeros that launches count in and leave at zero, one after another.
    private let counters: CUDAMemory
    /// One i32 that kernels set to the place of their step in the list + 1 if its data have no answer.
    let fault: CUDAMemory

    /// Values, then indices, of the largest logits of parts of each row: [rows, parts].
    let best: CUDAMemory

    fileprivate let mostRows: Int

    private static let mostCounters = 1 << 18
    /// Parts of a row of logits.
    static let mostBestParts = 1024

    /// - Parameter rows: The most rows of logits.
    init(rows: Int, on device: CUDADevice) throws(ApusError) {
        self.device = device
        counters = try CUDAMemory(4 * Self.mostCounters, purpose: "counters", on: device)
        fault = try CUDAMemory(4, purpose: "faults", on: device)
        mostRows = max(rows, PassKind.mostDecodeRows)
        best = try CUDAMemory(8 * mostRows * Self.mostBestParts, purpose: "the largest logits", on: device)
        let (driver, functions) = (device.driver, device.driver.functions)
        for memory in [counters, fault] {
            try driver.check(functions.fill(memory.address, 0, memory.byteCount, nil), "clearing counters")
        }
        try driver.check(functions.stream_synchronize(nil), "clearing counters")
    }

    /// Makes sure that steps have so many bytes, before the first pass.
    func reserve(_ bytes: Int) throws(ApusError) {
        guard bytes > scratch?.byteCount ?? 0 else { return }
        scratch = try CUDAMemory(bytes, purpose: "kernel scratch", on: device)
    }

    /// Bytes for the inside of steps.
    var byteCount: Int { scratch?.byteCount ?? 0 }

    /// What it holds at first is undefined.
    var base: UnsafeMutableRawPointer? { scratch?.base }

    /// - Throws: `.internal` if there are no more.
    func takeCounters(_ count: Int) throws(ApusError) -> UnsafeMutableRawPointer {
        guard count <= Self.mostCounters else {
            throw ApusError(.internal, "a step needs more than \(Self.mostCounters) counters, \(count)")
        }
        return counters.base
    }
}

/// What the launches of a plan are bound to: addresses, sizes, scratch.
final class DeviceContext {
    let device: CUDADevice
    let kind: PassKind
    let plan: Plan
    let frame: Frame
    let limits: SessionLimits
    /// The values that sizes and positions are computed from.
    let symbols: SymbolValues
    /// How large sizes may become.
    let bounds: SizeBounds
    let plugins: PluginRegistry
    /// Whether cuBLASLt computes products of many rows.
    let hasProducts: Bool
    /// First byte of the memory that each tensor of the plan lies in.
    let addresses: [UnsafeMutableRawPointer]
    private let shared: DeviceScratch

    init(
        _ binding: PlanBinding, _ kind: PassKind, addresses: [UnsafeMutableRawPointer],
        _ shared: DeviceScratch,
        _ runtime: CUDARuntime
    ) throws(ApusError) {
        device = runtime.device
        self.kind = kind
        plan = binding.plan
        frame = binding.frame
        limits = kind.limits(binding.limits)
        symbols = binding.symbols
        bounds = SizeBounds(binding.plan.symbols, limits: limits)
        plugins = binding.engine.plugins
        hasProducts = runtime.hasProducts
        self.addresses = addresses
        self.shared = shared
    }

    /// The architecture's usual number of processors: kernels are specialised by it, so that an engine fits all GPUs of
    /// an architecture; grids follow the device's own number.
    var nominalProcessorCount: Int { device.architecture.nominalProcessorCount }

    /// Processors of the device.
    var processorCount: Int { device.processorCount }

    /// Whether products of a decode step stage their weights in shared memory, ahead of their inputs: on Hopper and newer, where
    /// no matrix is so large that its own stream hides the chain of kernels.
    ///
    /// Packed codes always come through shared memory, so they do not count.
    private(set) lazy var stagesWeights =
        kind == .decode && device.capability.major >= 9
        && plan.steps.allSatisfy { step in
            guard step.op == "gemv", let weight = step.operand(1), !isOutput(step.results[0]) else {
                return true
            }
            let type = plan.tensors[weight].type
            guard let count = type.elementCount.constant else { return false }
            return count * type.element.byteCount <= StagedGemvShape.mostBytes
        }

    /// Whether products of a decode step read packed codes, the output head aside: their blocks hold more than half of a
    /// processor's registers.
    private(set) lazy var readsCodes =
        kind == .decode && plan.steps.contains { $0.op == "int4_gemv" || $0.op == "int8_gemv" }
        && plan.steps.allSatisfy { $0.op != "gemv" || isOutput($0.results[0]) }

    /// Whether a tensor is the first output of the plan.
    func isOutput(_ tensor: Int) -> Bool {
        plan.outputs.first.map { plan.root(of: $0.tensor) == tensor } ?? false
    }

    /// The scratch that a step asked for; what it holds at first is undefined.
    func scratch(at offset: Int = 0) -> UnsafeMutableRawPointer? { shared.base.map { $0 + offset } }

    /// Parts that the last product has cut each row of logits into, if it finds their largest itself; 0 if it does not.
    var bestParts = 0

    /// The memory of the largest logits of parts.
    var bestLogits: (values: UnsafeMutableRawPointer, indices: UnsafeMutableRawPointer, parts: Int) {
        let base = shared.best.base
        return (base, base + 4 * shared.mostRows * DeviceScratch.mostBestParts, bestParts)
    }

    /// Where a kernel tells that its data have no answer.
    var fault: UnsafeMutableRawPointer { shared.fault.base }

    /// So many counters, zero before and after each launch; kernels touch them only after they have waited.
    func takeCounters(_ count: Int) throws(ApusError) -> UnsafeMutableRawPointer {
        try shared.takeCounters(count)
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
    /// Shared memory that a block may ask for: 227 KiB on Hopper and Blackwell of data centres, 163 on Ampere of data
    /// centres, 99 on all others.
    var sharedBytesPerBlock: Int {
        switch (major, minor) {
        case (8, 0), (8, 7): 163 << 10
        case (8, _), (12, _): 99 << 10
        default: 227 << 10
        }
    }

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
