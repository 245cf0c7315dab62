public import ApusSupport
import CApusCPU

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A set of CPU instructions that Apus has kernels for.
public enum InstructionSet: String, Sendable, CaseIterable {
    case baseline, avx2, avxvnni, avx512, avx512vnni, avx512bf16, neon

    /// Environment variable that forces an instruction set.
    public static let environmentVariable = "APUS_CPU"

    private var identifier: apus_isa {
        switch self {
        case .baseline: APUS_ISA_BASELINE
        case .avx2: APUS_ISA_AVX2
        case .avxvnni: APUS_ISA_AVXVNNI
        case .avx512: APUS_ISA_AVX512
        case .avx512vnni: APUS_ISA_AVX512VNNI
        case .avx512bf16: APUS_ISA_AVX512BF16
        case .neon: APUS_ISA_NEON
        }
    }

    /// Whether this processor has it.
    public var isAvailable: Bool { kernels != nil }

    /// The kernels, nil if this processor lacks the instructions.
    var kernels: UnsafePointer<apus_kernels>? { apus_kernels_for(identifier) }

    /// The best this processor has.
    public static var best: InstructionSet {
        let identifier = apus_best_isa()
        return allCases.first { $0.identifier == identifier } ?? .baseline
    }

    /// All that this processor has.
    public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }

    /// What `APUS_CPU` asks for, else the best.
    /// - Throws: `.invalidInput` for an unknown name, `.unsupported` for one this processor lacks.
    public static func chosen() throws(ApusError) -> InstructionSet {
        guard let value = getenv(environmentVariable).map({ String(cString: $0) }), !value.isEmpty else {
            return best
        }
        let names = available.map(\.rawValue).joined(separator: ", ")
        guard let set = InstructionSet(rawValue: value) else {
            throw ApusError(
                .invalidInput, "\(environmentVariable)=\(value): expected one of \(names)")
        }
        guard set.isAvailable else {
            throw ApusError(
                .unsupported, "\(environmentVariable)=\(value): this processor offers only \(names)")
        }
        return set
    }

    /// The features of this processor that matter to kernels, such as `avx2 fma f16c`.
    public static var features: String {
        var buffer = [CChar](repeating: 0, count: 512)
        apus_cpu_features(&buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
