public import ApusGraph
public import ApusSupport

/// The packed weights of an engine: regions of one huge-page buffer, in the layout that kernels read.
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
    /// The memory that holds them.
    public let buffer: HugeBuffer

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
        buffer = try HugeBuffer(byteCount: offset, purpose: "weights")
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
        buffer = try HugeBuffer(byteCount: byteCount, purpose: "weights")
    }

    /// The bytes of a region.
    public func bytes(of region: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: buffer.base + regions[region].offset, count: regions[region].byteCount)
    }

    /// Bytes of all regions together.
    public var byteCount: Int { regions.reduce(0) { $0 + $1.byteCount } }
}
