/// The compiled kernels that an engine carries, so that a device can run it without a compiler.
public struct KernelStore: Sendable, Hashable {
    /// Images by architecture, such as `sm_90a`, and by the name of what was compiled.
    public private(set) var architectures: [String: [String: [UInt8]]] = [:]

    /// A store without kernels: what a processor needs.
    public init() {}

    /// Whether there is none.
    public var isEmpty: Bool { architectures.isEmpty }

    /// Adds an image.
    public mutating func add(_ image: [UInt8], _ name: String, for architecture: String) {
        architectures[architecture, default: [:]][name] = image
    }

    /// The images of an architecture, by name.
    public func images(for architecture: String) -> [String: [UInt8]] { architectures[architecture] ?? [:] }
}
