package import ApusSupport

/// What an engine carries for GPUs beside plan and weights: compiled kernels, so that a device can run it without a compiler,
/// and the algorithms that products were fastest with.
public struct KernelStore: Sendable, Hashable {
    /// Images by architecture, such as `sm_90a`, and by the name of what was compiled.
    public private(set) var architectures: [String: [String: [UInt8]]] = [:]
    /// Algorithms of products by the architecture of the GPU that they were timed on.
    public private(set) var products: [String: ProductAlgorithms] = [:]

    /// A store without kernels: what a processor needs.
    public init() {}

    /// Whether there is none.
    public var isEmpty: Bool { architectures.isEmpty && products.isEmpty }

    /// Adds an image.
    public mutating func add(_ image: [UInt8], _ name: String, for architecture: String) {
        architectures[architecture, default: [:]][name] = image
    }

    /// Adds algorithms in place of those that there are for the architecture.
    public mutating func add(_ algorithms: ProductAlgorithms, for architecture: String) {
        products[architecture] = algorithms
    }

    /// The images of an architecture, by name.
    public func images(for architecture: String) -> [String: [UInt8]] { architectures[architecture] ?? [:] }
}

// MARK: Bytes

extension KernelStore {
    /// The sections of an engine file that hold the store, in order.
    var sections: [(name: String, bytes: [UInt8])] {
        architectures.sorted { $0.key < $1.key }.map {
            (EngineSection.kernelsPrefix + $0.key, NamedBytes.encoded($0.value))
        }
            + products.sorted { $0.key < $1.key }.map {
                (EngineSection.productsPrefix + $0.key, $0.value.encoded)
            }
    }

    /// Reads one of ``sections``; passes over any other.
    /// - Parameter source: The file, for errors.
    /// - Throws: `.invalidInput` for bytes that no engine has.
    package mutating func read(
        section: String, _ bytes: () throws(ApusError) -> [UInt8], source: String
    ) throws(ApusError) {
        let place = "\(source): section '\(section)'"
        func architecture(behind prefix: String) -> String? {
            section.hasPrefix(prefix) ? String(section.dropFirst(prefix.count)) : nil
        }
        if let architecture = architecture(behind: EngineSection.kernelsPrefix) {
            architectures[architecture] = try NamedBytes.read(
                try bytes(), "a kernel's name and image", source: place)
        } else if let architecture = architecture(behind: EngineSection.productsPrefix) {
            products[architecture] = try ProductAlgorithms(try bytes(), source: place)
        }
    }
}
