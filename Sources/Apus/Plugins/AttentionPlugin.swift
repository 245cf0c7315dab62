import ApusCPU
public import ApusEngine
public import ApusGraph
import ApusReference
import ApusSupport

/// RoPE, KV cache write and attention in one op: prefill, chunks, decode and trees of draft tokens.
///
/// The op, `attention_plugin`, is described in `docs/attention-plugin.md`; its cache is updated in place.
public struct AttentionPlugin: Plugin {
    /// `AttentionPlugin`.
    public let name = "AttentionPlugin"
    /// 2: a cache [B, 2, Hkv, capacity, D], or i8 [B, 2, Hkv, capacity, D + 4], codes with scales.
    public let version = 2
    /// The op of the standard registry.
    public let op: OpSpec
    /// The updated cache is the cache.
    public let inPlace = [1: 1]
    /// The function of the standard set.
    public let reference: ReferenceFunction

    /// Makes the plugin.
    public init() {
        op = OpSpec.attentionPlugin
        reference = ReferenceFunctions.attentionPluginFunction
    }

    /// The kernel in C, one form for each instruction set.
    public var cpu: (any CPUKernel)? { AttentionPluginKernel() }
    /// The kernels of the CUDA backend.
    public var cuda: CUDAKernel? { .native }
}
