import ApusCPU
public import ApusCUDA
public import ApusEngine
public import ApusSupport

/// A device that computes.
public enum Device: Sendable, Hashable {
    /// The processor's own cores.
    case cpu
    /// An NVIDIA GPU, by the number that the driver gives it.
    case cuda(Int)
}

extension Device: CustomStringConvertible {
    /// Reads `cpu`, `cuda` or `cuda:N`.
    /// - Throws: `.invalidInput` that names what may be given.
    public init(_ text: String) throws(ApusError) {
        switch text {
        case "cpu": self = .cpu
        case "cuda": self = .cuda(0)
        default:
            guard text.hasPrefix("cuda:"), let ordinal = Int(text.dropFirst(5)), ordinal >= 0 else {
                throw ApusError(.invalidInput, "device: expected cpu, cuda or cuda:N, got '\(text)'")
            }
            self = .cuda(ordinal)
        }
    }

    /// `cpu`, or `cuda:0` and so on.
    public var description: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let ordinal): "cuda:\(ordinal)"
        }
    }

    /// Opens the device.
    /// - Parameter threads: Threads of the processor that compute, or that convert weights for a GPU; nil chooses.
    /// - Throws: `.unsupported` or `.invalidInput` that says what is missing and what to do.
    public func makeBackend(threads: Int? = nil) throws(ApusError) -> any Backend {
        let host = try CPUBackend(threads: threads)
        return switch self {
        case .cpu: host
        case .cuda(let ordinal): try CUDABackend(device: ordinal, host: host)
        }
    }

    /// Opens what an engine is compiled with: the device, or no more than its compiler where kernels are for others.
    /// - Parameter architectures: GPU architectures to compile kernels for; empty for the device's own.
    public func makeCompilingBackend(
        threads: Int? = nil, architectures: [CUDAArchitecture] = []
    ) throws(ApusError) -> any Backend {
        guard case .cuda = self, !architectures.isEmpty else { return try makeBackend(threads: threads) }
        return CUDABackend(compilingFor: architectures, host: try CPUBackend(threads: threads))
    }
}
