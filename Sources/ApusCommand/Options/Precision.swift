import Apus
import ArgumentParser

/// The value of `--kv-cache-type`, in any case.
enum KVCacheType: String, CaseIterable, ExpressibleByArgument {
    case fp32 = "FP32"
    case fp16 = "FP16"
    case bf16 = "BF16"
    case int8 = "INT8"

    init?(argument: String) { self.init(rawValue: argument.uppercased()) }

    /// The element type of the KV cache.
    var element: ElementType {
        switch self {
        case .fp32: .f32
        case .fp16: .f16
        case .bf16: .bf16
        case .int8: .i8
        }
    }
}

/// The value of `--precision`, in any case.
enum Precision: String, CaseIterable, ExpressibleByArgument {
    case fp16 = "FP16"
    case fp32 = "FP32"
    case bf16 = "BF16"

    init?(argument: String) { self.init(rawValue: argument.uppercased()) }

    /// The precision whose elements are of that type.
    init?(_ element: ElementType) {
        switch element {
        case .f32: self = .fp32
        case .f16: self = .fp16
        case .bf16: self = .bf16
        default: return nil
        }
    }

    /// The precision that a `config.json` names as its own; FP32 if it names none, as in transformers.
    init(config: JSON) {
        switch config["dtype"]?.string ?? config["torch_dtype"]?.string {
        case "float16"?, "torch.float16"?: self = .fp16
        case "bfloat16"?, "torch.bfloat16"?: self = .bf16
        default: self = .fp32
        }
    }

    /// The element type of the weights.
    var element: ElementType {
        switch self {
        case .fp32: .f32
        case .fp16: .f16
        case .bf16: .bf16
        }
    }
}

extension LanguageModel {
    /// The narrowest codes that the weights are, else the type of its plain weights, as tables name it.
    var weightPrecision: String {
        let ops = Set(engine?.plan.steps.map(\.op) ?? [])
        if ops.contains("int4_groupwise_gemm") { return "INT4" }
        if ops.contains("int8_linear") { return "INT8" }
        return Precision(precision)?.rawValue ?? precision.rawValue
    }
}
