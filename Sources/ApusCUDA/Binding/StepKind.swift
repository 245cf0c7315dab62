import ApusEngine
import ApusGraph
import ApusSupport

/// A kernel of the catalog, and what makes its launches.
struct StepKind: Sendable {
    /// What the compiler chooses by.
    let entry: KernelEntry
    /// Makes the launches of a step.
    let make: @Sendable (Plan.Step, DeviceContext) throws(ApusError) -> DeviceStep

    init(
        _ entry: KernelEntry,
        _ make: @escaping @Sendable (Plan.Step, DeviceContext) throws(ApusError) -> DeviceStep
    ) {
        self.entry = entry
        self.make = make
    }
}

extension StepKind {
    /// All kernels of the backend, in order of preference.
    static let all: [StepKind] = modelKinds + genericKinds

    private static let byKernel = Dictionary(
        (all + fusedKinds + pluginKinds.values).map { ($0.entry.kernel, $0) },
        uniquingKeysWith: { first, _ in first })

    /// The launches of a step.
    /// - Throws: `.internal` for a kernel that the backend does not have.
    static func make(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) -> DeviceStep {
        guard let kind = byKernel[step.kernel] else {
            if let plugin = step.plugin {
                return try PluginStep(step, context, try context.plugins.plugin(plugin))
            }
            throw ApusError(.internal, "the backend has no kernel '\(step.kernel)' for op '\(step.op)'")
        }
        return try kind.make(step, context)
    }

    /// The kernels that models spend their time in.
    private static let modelKinds: [StepKind] =
        [LinearStep.kind, AttentionStep.kind, EmbeddingStep.kind, SwiGLUStep.kind, int8.many] + NormStep.kinds

    /// Kernels that only fused plans have.
    private static let fusedKinds: [StepKind] = [
        GemvStep.kind, StaticAttentionStep.kind, int4.few, int8.few,
    ]

    private static let int4 = QuantizedLinearStep.kinds("int4_groupwise_gemm", bits: 4)
    private static let int8 = QuantizedLinearStep.kinds("int8_linear", bits: 8)

    /// Kernels of plugins that the backend has itself, by op.
    static let pluginKinds: [String: StepKind] = [
        "attention_plugin": AttentionPluginStep.kind, "int4_groupwise_gemm": int4.many,
    ]
}

extension KernelQuery {
    /// Why loops over strided tensors cannot serve a query: too many dimensions.
    var rankRefusal: String? {
        let rank = (operands.compactMap { $0?.rank } + results.map(\.rank)).max() ?? 0
        return rank > LoopNest.mostLoops
            ? "rank \(rank) exceeds the \(LoopNest.mostLoops) dimensions of strided loops" : nil
    }
}

extension ElementType {
    /// The C++ type of an element in kernels.
    var kernelType: String {
        switch self {
        case .f32: "float"
        case .f16: "half_t"
        case .bf16: "bfloat_t"
        case .i64: "long long"
        case .i32: "int"
        case .i8: "signed char"
        case .u8, .bool: "unsigned char"
        }
    }
}
