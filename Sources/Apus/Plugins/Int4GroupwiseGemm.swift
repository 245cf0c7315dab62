import ApusCPU
public import ApusEngine
public import ApusGraph
import ApusReference
import ApusSupport

/// A linear with 4-bit weights and a scale, maybe a zero point, for each group of inputs.
///
/// The op, `int4_groupwise_gemm`, is described in `docs/int4-groupwise-gemm.md`; ``Int4ExchangeLayout`` reads and writes the
/// weights of other implementations of the plugin.
public struct Int4GroupwiseGemm: Plugin {
    /// `Int4GroupwiseGemm`.
    public let name = "Int4GroupwiseGemm"
    /// 1.
    public let version = 1
    /// The op of the standard registry.
    public let op: OpSpec
    /// The function of the standard set.
    public let reference: ReferenceFunction

    /// Makes the plugin.
    public init() {
        op = OpSpec.int4GroupwiseGemm
        reference = ReferenceFunctions.int4GroupwiseGemmFunction
    }

    /// The kernel in C, one form for each instruction set.
    public var cpu: (any CPUKernel)? { Int4GroupwiseGemmKernel() }
    /// The kernels of the CUDA backend.
    public var cuda: CUDAKernel? { .native }
}
