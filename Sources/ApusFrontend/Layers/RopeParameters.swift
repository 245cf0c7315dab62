import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The frequencies of a rotary position embedding, as transformers' modeling_rope_utils.py computes them.
struct RopeParameters: Sendable {
    /// How the frequencies are changed for longer texts than the model was first trained on.
    enum Scaling: Sendable {
        case none
        /// All frequencies divided by a factor.
        case linear(factor: Double)
        /// Llama 3.1: low frequencies divided, high ones kept, those between interpolated.
        case llama3(factor: Double, low: Double, high: Double, originalPositions: Double)
    }

    let theta: Double
    let scaling: Scaling

    /// Reads `rope_parameters` (transformers 5), or `rope_scaling` and `rope_theta` (transformers 4).
    init(_ config: ConfigReader, maxPositions: Int) throws(ApusError) {
        // Both are read, as transformers does: an older file's `rope_scaling` goes first.
        let newer = try config.object("rope_parameters")
        let isOlder = try config.object("rope_scaling") != nil
        let reader = try config.object("rope_scaling") ?? newer
        let outer = try config.optionalPositive("rope_theta")
        theta = try reader?.optionalPositive("rope_theta") ?? outer ?? 10000
        for source in [config, reader].compactMap({ $0 }) {
            guard let share = try source.optionalDouble("partial_rotary_factor"), share != 1 else { continue }
            throw source.error(
                "partial_rotary_factor", "this model type turns whole heads; expected 1.0, got \(share)",
                .unsupported)
        }
        guard let reader else {
            scaling = .none
            return
        }
        scaling = try Self.scaling(
            reader, config, isOlder ? "rope_scaling" : "rope_parameters", maxPositions)
        try reader.requireNothingElse { key, _ in Self.unused.contains(key) }
    }

    /// Keys that other types than the one in effect use; transformers passes over them.
    private static let unused: Set<String> = [
        "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor",
        "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate", "short_factor",
        "long_factor", "type",
    ]

    private static func scaling(
        _ reader: ConfigReader, _ config: ConfigReader, _ name: String, _ maxPositions: Int
    ) throws(ApusError) -> Scaling {
        let typeKey = reader.has("rope_type") ? "rope_type" : "type"
        let type = try reader.string(typeKey, default: "default")
        func required(_ key: String) throws(ApusError) -> Double {
            guard let value = try reader.optionalPositive(key) else {
                throw reader.error(key, "rope type \"\(type)\" needs it; expected a number above 0")
            }
            return value
        }
        switch type {
        case "default": return .none
        case "dynamic":
            // Frequencies change only beyond max_position_embeddings, where this model is not run.
            _ = try required("factor")
            return .none
        case "linear": return .linear(factor: try required("factor"))
        case "llama3":
            let outer = try config.optionalInt("original_max_position_embeddings")
            let inner = try reader.optionalInt("original_max_position_embeddings")
            let (low, high) = (try required("low_freq_factor"), try required("high_freq_factor"))
            guard low < high else {
                throw reader.error(
                    "high_freq_factor", "expected more than low_freq_factor \(low), got \(high)")
            }
            return .llama3(
                factor: try required("factor"), low: low, high: high,
                originalPositions: Double(outer ?? inner ?? maxPositions))
        default:
            throw reader.error(
                typeKey, "expected \"default\", \"linear\", \"dynamic\" or \"llama3\", got \"\(type)\"",
                .unsupported)
        }
    }

    /// The angle that each pair of dims turns by from one position to the next, in `Float` arithmetic as in
    /// transformers; `size` is R, the number of dims that turn.
    func inverseFrequencies(size: Int) -> [Float] {
        stride(from: 0, to: size, by: 2).map { dim in
            let exponent = Float(dim) / Float(size)
            return scaled(1 / Float(pow(Double(Float(theta)), Double(exponent))))
        }
    }

    private func scaled(_ frequency: Float) -> Float {
        switch scaling {
        case .none: return frequency
        case .linear(let factor): return frequency / Float(factor)
        case .llama3(let factor, let low, let high, let original):
            let wavelength = Float(2 * Double.pi) / frequency
            if wavelength > Float(original / low) { return frequency / Float(factor) }
            if wavelength < Float(original / high) { return frequency }
            let smooth = (Float(original) / wavelength - Float(low)) / Float(high - low)
            return (1 - smooth) * frequency / Float(factor) + smooth * frequency
        }
    }
}
