import ApusSupport

/// The algorithms with which a library multiplied matrices fastest on one GPU, as they were timed when an engine was built.
///
/// They are of use where GPU and library are the same; any other takes what its library proposes.
public struct ProductAlgorithms: Sendable, Hashable {
    /// Name of the GPU, such as `NVIDIA H200`.
    public let gpu: String
    /// The library and its version, such as `cuBLASLt 13.1.0`.
    public let library: String
    /// What the library encodes an algorithm as, by the text of the product that it is for.
    public private(set) var choices: [String: [UInt8]] = [:]

    /// Bytes of an algorithm.
    public static let algorithmBytes = 64

    /// A list without products.
    public init(gpu: String, library: String) {
        self.gpu = gpu
        self.library = library
    }

    /// Adds a product.
    /// - Parameter algorithm: ``algorithmBytes`` bytes.
    public mutating func add(_ algorithm: [UInt8], for product: String) { choices[product] = algorithm }
}

// MARK: Bytes

extension ProductAlgorithms {
    private static let (gpuEntry, libraryEntry, productPrefix) = ("gpu", "library", "product ")

    /// As ``NamedBytes``: the names of GPU and library, then the products.
    var encoded: [UInt8] {
        var entries = [Self.gpuEntry: Array(gpu.utf8), Self.libraryEntry: Array(library.utf8)]
        for (product, algorithm) in choices { entries[Self.productPrefix + product] = algorithm }
        return NamedBytes.encoded(entries)
    }

    /// Reads what ``encoded`` gave.
    /// - Throws: `.invalidInput` for bytes that it cannot have given.
    init(_ bytes: [UInt8], source: String) throws(ApusError) {
        var entries = try NamedBytes.read(bytes, "the name and algorithm of a product", source: source)
        func text(_ name: String) throws(ApusError) -> String {
            guard let bytes = entries.removeValue(forKey: name) else {
                throw NamedBytes.damaged(source, "an entry '\(name)'", "none")
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        try self.init(gpu: text(Self.gpuEntry), library: text(Self.libraryEntry))
        for (name, algorithm) in entries.sorted(by: { $0.key < $1.key }) {
            guard name.hasPrefix(Self.productPrefix), algorithm.count == Self.algorithmBytes else {
                throw NamedBytes.damaged(
                    source, "a product with an algorithm of \(Self.algorithmBytes) bytes",
                    "'\(name)' with \(algorithm.count) bytes")
            }
            add(algorithm, for: String(name.dropFirst(Self.productPrefix.count)))
        }
    }
}
