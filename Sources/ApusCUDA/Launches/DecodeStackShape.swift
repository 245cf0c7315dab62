import ApusEngine
import ApusGraph

/// How `decode_stack` deals the layers of a decode step out to clusters of blocks: `decode_stack.cu` describes the macros.
///
/// A cluster takes the query heads that share a KV head, and an equal part of every matrix. All blocks are resident at
/// once, since they wait for each other's numbers.
struct DecodeStackShape: Hashable {
    /// The sizes and types that all layers share.
    struct Layer: Hashable {
        /// Elements of the residual stream, and of the gated layer.
        let hidden, inner: Int
        let heads, kvHeads: Int
        /// Elements of a head, and of them those that the rotary embedding turns.
        let headSize, rotary: Int
        /// Of weights and caches.
        let weight, cache: ElementType
        /// Whether q, k and v have a bias, and q and k a norm.
        let hasBias, hasNorms: Bool
        /// Whether angles come from a table; if not, the pass computes those of its token.
        let hasTable: Bool

        /// Bytes of its matrices.
        var byteCount: Int {
            let (queries, keys) = (heads * headSize, kvHeads * headSize)
            return weight.byteCount * hidden * (2 * queries + 2 * keys + 3 * inner)
        }
    }

    let layer: Layer
    let layerCount: Int
    /// Stages of the ring for each warp.
    private let depth: Int

    /// Blocks of a cluster.
    static let cluster = 8
    /// Warps of a block that compute; as many again fetch.
    private static let warps = 8
    /// Threads of a block.
    static let threads = 64 * warps
    /// Bytes of a unit: what a warp computes with at a time.
    private static let unitBytes = 8192
    /// Stages of the ring for each warp, at most: more do not fit anywhere.
    private static let mostDepth = 3
    /// Addresses of a layer among the arguments.
    private static let addressesOfLayer = 11
    /// KV heads that the kernel was measured with: a cluster each keeps half of a GPU's processors busy.
    private static let kvHeads = 8
    /// Bytes of a layer's matrices from which they hide the chain of kernels by themselves.
    private static let mostBytes = 128_000_000
    /// Bytes of arguments that kernels of any driver take, and those that are not addresses of layers.
    private static let (mostArgumentBytes, otherArgumentBytes) = (4096, 160)

    /// - Throws: Why the kernel does not serve.
    init(_ layer: Layer, layerCount: Int, for architecture: CUDAArchitecture) throws(FusionRefusal) {
        try FusionRefusal.require(
            architecture.major >= 9,
            "\(architecture) has no clusters of blocks, which compute capability 9.0 brought")
        let most = (Self.mostArgumentBytes - Self.otherArgumentBytes) / (8 * Self.addressesOfLayer)
        try FusionRefusal.require(layerCount <= most, "\(layerCount) layers exceed \(most)")
        try layer.check(kvHeads: Self.kvHeads)
        for cut in layer.cuts { try cut.check() }
        try FusionRefusal.require(
            layer.byteCount <= Self.mostBytes,
            "a layer's matrices have \(layer.byteCount) bytes, at most \(Self.mostBytes) gain by it")
        let room = architecture.sharedBytesPerBlock
        guard
            let depth = (2...Self.mostDepth).last(where: { layer.sharedBytes(depth: $0) <= room })
        else {
            throw FusionRefusal(
                "a block needs \(layer.sharedBytes(depth: 2)) bytes of shared memory, \(architecture) has \(room)"
            )
        }
        (self.layer, self.layerCount, self.depth) = (layer, layerCount, depth)
    }

    /// Clusters of the grid.
    var clusters: Int { layer.kvHeads }
    /// Blocks of the grid.
    var grid: Int { clusters * Self.cluster }
    /// Bytes of dynamic shared memory of a block.
    var sharedBytes: Int { layer.sharedBytes(depth: depth) }
    /// Words of 8 bytes that clusters pass to each other: two sets, which take turns.
    var exchangeWords: Int { 2 * clusters * layer.hidden }

    /// What the kernel is compiled from; it asserts the bytes of shared memory.
    var unit: KernelUnit {
        KernelUnit(
            "decode_stack",
            [
                "WEIGHT": layer.weight.kernelType, "LAYERS": "\(layerCount)", "HIDDEN": "\(layer.hidden)",
                "FFN": "\(layer.inner)", "Q_HEADS": "\(layer.heads)", "KV_HEADS": "\(layer.kvHeads)",
                "HEAD_DIM": "\(layer.headSize)", "QKV_BIAS": layer.hasBias ? "1" : "0",
                "QK_NORM": layer.hasNorms ? "1" : "0", "TABLE": layer.hasTable ? "1" : "0",
                "CLUSTERS": "\(clusters)", "CLUSTER": "\(Self.cluster)", "DEPTH": "\(depth)",
                "LAUNCH_BYTES": "\(sharedBytes)",
            ])
    }
}

extension DecodeStackShape {
    /// The part of a product that a block computes in units: tiles of 16 rows, each in chunks of columns.
    fileprivate struct Cut {
        let name: String
        let rows, columns: Int

        /// Chunks so small that a tile's fits a stage; nil if there are none that are whole.
        private var wholeChunks: Int? {
            [1, 2, 4, 8, 16].first { columns % (32 * $0) == 0 && 32 * columns / $0 <= unitBytes }
        }
        /// Sums of chunks.
        var sumCount: Int { rows * (wholeChunks ?? 0) }

        func check() throws(FusionRefusal) {
            try FusionRefusal.require(
                rows > 0 && rows % 16 == 0 && columns > 0 && wholeChunks != nil,
                "\(name): \(rows) rows of \(columns) columns for a block are no whole units")
        }
    }
}

extension DecodeStackShape.Layer {
    /// Query heads of a KV head.
    private var group: Int { heads / max(kvHeads, 1) }

    /// The parts of the four products that a block computes.
    fileprivate var cuts: [DecodeStackShape.Cut] {
        let blocks = DecodeStackShape.cluster
        return [
            .init(name: "q, k and v", rows: (group + 2) * headSize / blocks, columns: hidden),
            .init(name: "the projection after attention", rows: hidden / blocks, columns: group * headSize),
            .init(name: "the gated product", rows: 2 * (inner / kvHeads / blocks), columns: hidden),
            .init(name: "the product behind the gate", rows: hidden / blocks, columns: inner / kvHeads),
        ]
    }

    fileprivate func check(kvHeads expected: Int) throws(FusionRefusal) {
        try FusionRefusal.require(
            [.f16, .bf16].contains(weight), "weights are \(weight.rawValue), not f16 or bf16")
        try FusionRefusal.require(
            cache == weight, "weights are \(weight.rawValue), caches \(cache.rawValue)")
        try FusionRefusal.require(kvHeads == expected, "\(kvHeads) KV heads, expected \(expected)")
        try FusionRefusal.require(
            heads % kvHeads == 0 && [1, 2, 4, 8].contains(group),
            "\(heads) query heads share \(kvHeads) KV heads, expected 1, 2, 4 or 8 each")
        try FusionRefusal.require(
            headSize == 64 || headSize == 128, "heads of \(headSize), expected 64 or 128")
        try FusionRefusal.require(
            rotary == headSize, "\(rotary) of \(headSize) columns of a head turn, expected all")
        try FusionRefusal.require(
            headSize == 64 || group <= 4, "\(group) query heads of 128 share a KV head, expected up to 4")
        // Blocks of a cluster share rows, and the rows of a cluster that the gate lets through, evenly.
        let (blocks, gates) = (DecodeStackShape.cluster, 16 * kvHeads * DecodeStackShape.cluster)
        try FusionRefusal.require(
            hidden > 0 && hidden % (32 * blocks) == 0,
            "a hidden size of \(hidden), expected a multiple of \(32 * blocks)")
        try FusionRefusal.require(
            inner > 0 && inner % gates == 0, "an inner size of \(inner), expected a multiple of \(gates)")
    }

    /// Dynamic shared memory of a block: the ring and what is behind it, as `decode_stack.cu` declares it.
    fileprivate func sharedBytes(depth: Int) -> Int {
        let (blocks, warps) = (DecodeStackShape.cluster, DecodeStackShape.warps)
        let outputs = group * headSize
        let partial = outputs + 2 * group
        let keysOfUnit = DecodeStackShape.unitBytes / 4 / max(headSize, 1)
        // Rows of V of 256 bytes lie 16 bytes further apart.
        let stageBytes = DecodeStackShape.unitBytes + (headSize == 128 ? 16 * keysOfUnit : 0)
        // A warp's weights of the keys that it takes at once, then what it ends with.
        let partialRoom = (max(partial, 32 * group) + 3) / 4 * 4
        let sums = max(cuts.map(\.sumCount).max() ?? 0, warps * partialRoom)
        let numbers = [
            hidden, hidden / 32, (group + 2) * headSize, blocks * partial, outputs, headSize,
            inner / max(kvHeads, 1),
            (group + 2) * headSize / blocks, 2 * headSize, sums, headSize, headSize,
        ]
        let own = numbers.reduce(0) { $0 + (4 * $1 + 15) / 16 * 16 }
        let barriers = 8 * (2 * depth * warps + 4)
        return depth * warps * stageBytes + (own + barriers + 15) / 16 * 16
    }
}
