package import ApusSupport

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

// MARK: Bytes

extension KernelStore {
    /// The images of an architecture, sorted by name: for each the bytes of name and image as u32, then both.
    func encoded(for architecture: String) -> [UInt8] {
        var bytes: [UInt8] = []
        func append(_ count: Int) {
            for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: count >> shift)) }
        }
        for (name, image) in images(for: architecture).sorted(by: { $0.key < $1.key }) {
            append(name.utf8.count)
            append(image.count)
            bytes += Array(name.utf8) + image
        }
        return bytes
    }

    /// Reads what ``encoded(for:)`` wrote.
    /// - Throws: `.invalidInput` for bytes that it cannot have written.
    package mutating func read(
        _ bytes: [UInt8], for architecture: String, source: String
    ) throws(ApusError) {
        var place = 0
        func count(at place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) } }
        while place < bytes.count {
            guard place + 8 <= bytes.count, case let (name, image) = (count(at: place), count(at: place + 4)),
                name > 0, place + 8 + name + image <= bytes.count
            else {
                throw ApusError(
                    .invalidInput,
                    "\(source): expected a kernel's name and image at byte \(place), got something else; compile the "
                        + "model anew")
            }
            let start = place + 8
            add(
                Array(bytes[(start + name)..<(start + name + image)]),
                String(decoding: bytes[start..<start + name], as: UTF8.self), for: architecture)
            place = start + name + image
        }
    }
}
