package import ApusEngine
package import ApusGraph
package import ApusSupport
import CApusCUDA

/// An engine's plan on a GPU, run by itself: every input is given, every output read; for checks of kernels.
package final class CUDAPlanRun {
    private let plan: CUDAPlan
    private let frame: Frame
    private let limits: SessionLimits
    private let device: CUDADevice
    private let inputs: Inputs

    private final class Inputs {
        var memory: [String: CUDAHostMemory] = [:]
    }

    /// Binds the plan to memory for sizes within `limits`.
    /// - Throws: Whatever preparing its kernels throws.
    package init(_ engine: Engine, limits: SessionLimits, on backend: CUDABackend) throws(ApusError) {
        self.limits = limits
        let runtime = backend.runtime
        let (gpu, inputs, bounds) = (
            runtime.device, Inputs(), SizeBounds(engine.plan.symbols, limits: limits)
        )
        let device = CUDAPlanDevice(runtime: runtime)
        frame = try Frame(limits: limits, mirror: device.allocateMirror)
        let binding = try PlanBinding(engine, frame: frame, limits: limits, on: device) {
            name, type throws(ApusError) in
            // Both sides read it: symbols may be the values of inputs.
            let memory = try CUDAHostMemory(
                (bounds.upperBound(of: type.elementCount) ?? 0) * type.element.byteCount,
                purpose: "input \(name)",
                on: gpu)
            inputs.memory[name] = memory
            return memory.base
        }
        self.inputs = inputs
        self.device = gpu
        plan = try CUDAPlan(binding, runtime)
        // What a step does not write, no step may read.
        let arena = binding.memory.arena
        try gpu.driver.check(
            gpu.driver.functions.fill(
                apus_cu_address(UInt(bitPattern: arena.base)), 0xff, arena.byteCount, nil),
            "spoiling activations")
        try gpu.driver.check(gpu.driver.functions.stream_synchronize(nil), "spoiling activations")
    }

    /// The inputs that there are, with the element type in which each is stored.
    package var inputTypes: [String: ElementType] {
        var types: [String: ElementType] = [:]
        for tensor in plan.plan.tensors {
            if case .input(let name) = tensor.storage { types[name] = tensor.type.element }
        }
        return types
    }

    /// The memory of an input, row-major, for as many elements as the limits allow.
    package func memory(of input: String) -> UnsafeMutableRawPointer? { inputs.memory[input]?.base }

    private func load(batch: Int, width: Int) throws(ApusError) {
        let tokens = [Int32](repeating: 0, count: batch * width)
        let new = [Int32](repeating: Int32(width), count: batch)
        let cached = [Int32](repeating: 0, count: batch)
        try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try new.withUnsafeBufferPointer { new throws(ApusError) in
                try cached.withUnsafeBufferPointer { cached throws(ApusError) in
                    try frame.load(
                        tokens: tokens, batch: batch, width: width, newCounts: new, cachedCounts: cached,
                        vocabularySize: 1, maxPositions: limits.capacity)
                }
            }
        }
    }

    /// What is compiled for `batch` sequences of `width` tokens.
    func units(batch: Int, width: Int) throws(ApusError) -> Set<KernelUnit> {
        try outline(batch: batch, width: width).units
    }

    /// What the plan launches for `batch` sequences of `width` tokens.
    func outline(batch: Int, width: Int) throws(ApusError) -> PassOutline {
        try load(batch: batch, width: width)
        return try plan.outline()
    }

    /// Runs the plan for `batch` sequences of `width` tokens.
    /// - Returns: The bytes of each output, row-major.
    /// - Throws: `.invalidInput` if a step's data have no result.
    package func run(
        batch: Int, width: Int
    ) throws(ApusError) -> [(element: ElementType, shape: [Int], bytes: [UInt8])] {
        try load(batch: batch, width: width)
        try plan.run()
        var outputs: [(element: ElementType, shape: [Int], bytes: [UInt8])] = []
        let context = plan.list.context
        for output in context.plan.outputs {
            let view = try context.view(output.tensor)
            var bytes = [UInt8](repeating: 0, count: view.count * view.element.byteCount)
            let (functions, address) = (
                device.driver.functions, apus_cu_address(UInt(bitPattern: view.pointer))
            )
            if !bytes.isEmpty {
                let status = bytes.withUnsafeMutableBytes {
                    functions.copy_out($0.baseAddress, address, $0.count, nil)
                }
                try device.driver.check(status, "reading an output")
                try device.driver.check(functions.stream_synchronize(nil), "reading an output")
            }
            outputs.append((view.element, (0..<view.rank).map { view.size($0) }, bytes))
        }
        return outputs
    }
}
