public import ApusGraph
public import ApusSupport
import Synchronization

/// The packed weights of an engine, in the layout that kernels read: regions of one buffer, which is the processor's or,
/// once a device has taken it, the device's alone.
public final class WeightStore: Sendable {
    /// One packed weight.
    public struct Region: Sendable, Hashable {
        /// The value's name in the lowered graph.
        public let name: String
        /// Element type and shape as stored.
        public let type: TensorType
        /// Offset of the first byte, a multiple of 64.
        public let offset: Int
        /// Size in bytes.
        public let byteCount: Int
        /// Name of the ``WeightPacking`` that its bytes are in; nil for row-major.
        public let packing: String?

        /// Describes a region.
        public init(name: String, type: TensorType, offset: Int, byteCount: Int, packing: String? = nil) {
            self.name = name
            self.type = type
            self.offset = offset
            self.byteCount = byteCount
            self.packing = packing
        }
    }

    /// All regions, by the index that plans use.
    public let regions: [Region]
    /// Size of the buffer.
    public let bufferBytes: Int
    private let place: Mutex<Place>

    private enum Place {
        case memory(HugeBuffer)
        case device(any DeviceWeights)
    }

    /// Lays out weights of the given names, types and packings; their bytes are zero until they are written.
    /// - Throws: `.outOfMemory`.
    public init(
        _ weights: [(name: String, type: TensorType, packing: (any WeightPacking)?)]
    ) throws(ApusError) {
        var regions: [Region] = []
        var offset = 0
        for weight in weights {
            let bytes =
                weight.packing?.byteCount(of: weight.type)
                ?? (weight.type.constantShape ?? [0]).reduce(weight.type.element.byteCount, *)
            regions.append(
                Region(
                    name: weight.name, type: weight.type, offset: offset, byteCount: bytes,
                    packing: weight.packing?.name))
            offset = Self.aligned(offset + bytes)
        }
        self.regions = regions
        bufferBytes = offset
        place = Mutex(.memory(try HugeBuffer(byteCount: offset, purpose: "weights")))
    }

    /// A page between large weights costs nothing and keeps every row stream aligned.
    private static func aligned(_ offset: Int) -> Int { (offset + 4095) / 4096 * 4096 }

    /// Size of the whole that ``init(_:)`` lays regions out in.
    public static func byteCount(of regions: [Region]) -> Int {
        regions.last.map { aligned($0.offset + $0.byteCount) } ?? 0
    }

    /// Takes over a layout; the bytes are zero until they are written.
    /// - Parameter byteCount: Size of the whole; every region lies within it.
    /// - Throws: `.outOfMemory`.
    public init(regions: [Region], byteCount: Int) throws(ApusError) {
        self.regions = regions
        bufferBytes = byteCount
        place = Mutex(.memory(try HugeBuffer(byteCount: byteCount, purpose: "weights")))
    }

    /// Takes over a layout and the bytes, which a device holds.
    public init(regions: [Region], on device: any DeviceWeights) {
        self.regions = regions
        bufferBytes = device.byteCount
        place = Mutex(.device(device))
    }

    /// The bytes in the processor's memory: the store's own, or a copy of what a device holds.
    /// - Throws: `.outOfMemory`, and what copying from the device throws.
    public func buffer() throws(ApusError) -> HugeBuffer {
        switch place.withLock({ $0 }) {
        case .memory(let buffer): return buffer
        case .device(let device):
            let buffer = try HugeBuffer(byteCount: bufferBytes, purpose: "a copy of the weights")
            try device.copy(to: buffer)
            return buffer
        }
    }

    /// What holds the bytes in place of the processor's memory; nil while they are there.
    public var device: (any DeviceWeights)? {
        place.withLock { if case .device(let device) = $0 { device } else { nil } }
    }

    /// Gives the bytes to a device that has a copy of them, and lets go of the processor's memory.
    public func move(to device: any DeviceWeights) { place.withLock { $0 = .device(device) } }

    /// The bytes of a region, to be written while the store is made.
    /// - Throws: As ``buffer()``.
    public func bytes(of region: Int) throws(ApusError) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: try buffer().base + regions[region].offset, count: regions[region].byteCount)
    }

    /// Bytes of all regions together.
    public var byteCount: Int { regions.reduce(0) { $0 + $1.byteCount } }
}
