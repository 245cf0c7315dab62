public import ApusEngine
import ApusGraph
public import ApusSupport
import CApusCPU

/// The AttentionPlugin on processors: RoPE, KV cache write and attention in one launch.
///
/// New tokens, outputs and rotary table are FP32; the cache is FP32, FP16, BF16, or INT8 codes with scales; sums
/// are FP32.
public struct AttentionPluginKernel: CPUKernel {
    /// Makes the kernel.
    public init() {}

    /// Refuses element types that no kernel reads.
    public func refusal(_ query: KernelQuery) -> String? {
        guard query.operands[0]?.element == .f32 else { return "packed_qkv is not f32" }
        guard let cache = query.operands[1]?.element, cache.isFloat || cache == .i8 else {
            return "the KV cache is neither floating-point nor i8"
        }
        for norm in query.operands.dropFirst(5).prefix(2) where norm.map({ $0.element != .f32 }) == true {
            return "the norm of q and k is not f32"
        }
        return nil
    }

    /// Binds the kernel to a step.
    public func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch {
        guard let kernels = InstructionSet(rawValue: setup.instructionSet)?.kernels else {
            throw ApusError(.unsupported, "no kernels for instruction set '\(setup.instructionSet)'")
        }
        return try AttentionPluginLaunch(setup, kernels)
    }
}
