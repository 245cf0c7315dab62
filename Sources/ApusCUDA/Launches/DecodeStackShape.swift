import ApusEngine
import ApusGraph

/// How `decode_stack` deals the layers of a decode step out to clusters of blocks: `decode_stack.cu` describes the macros.
///
/// A cluster takes the query heads that share a KV head, and an equal part of every matrix. All of its blocks are
/// resident at once, since they wait for each other's numbers.
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

    /// Blocks of a cluster.
    static let cluster = 8
    /// Threads of a block: eight warps that compute and one that fetches.
    static let threads = 288
    /// Addresses of a layer among the arguments.
    static let addressesOfLayer = 11
    /// KV heads that the kernel was written and measured for.
    private static let kvHeads = 8
    /// Query heads that share a KV head, at most.
    private static let mostGroup = 8
    /// Bytes of a layer's matrices from which they hide the chain of kernels by themselves.
    private static let mostBytes = 128_000_000
    /// Bytes of arguments that kernels of any driver take, and those that are not addresses of layers.
    private static let (mostArgumentBytes, otherArgumentBytes) = (4096, 160)

    /// - Throws: Why the kernel does not serve.
    init(_ layer: Layer, layerCount: Int, for architecture: CUDAArchitecture) throws(FusionRefusal) {
        (self.layer, self.layerCount) = (layer, layerCount)
        let most = (Self.mostArgumentBytes - Self.otherArgumentBytes) / (8 * Self.addressesOfLayer)
        try FusionRefusal.require(
            architecture.major >= 9,
            "\(architecture) has no clusters of blocks, which compute capability 9.0 brought")
        try FusionRefusal.require(
            sharedBytes <= architecture.sharedBytesPerBlock,
            "a block needs \(sharedBytes) bytes of shared memory, \(architecture) has "
                + "\(architecture.sharedBytesPerBlock)")
        try FusionRefusal.require(layerCount <= most, "\(layerCount) layers exceed \(most)")
        try FusionRefusal.require(
            [.f16, .bf16].contains(layer.weight), "weights are \(layer.weight.rawValue), not f16 or bf16")
        try FusionRefusal.require(
            layer.cache == layer.weight,
            "weights are \(layer.weight.rawValue), caches \(layer.cache.rawValue)")
        try FusionRefusal.require(
            layer.kvHeads == Self.kvHeads, "\(layer.kvHeads) KV heads, expected \(Self.kvHeads)")
        try FusionRefusal.require(
            layer.heads % layer.kvHeads == 0 && layer.heads / layer.kvHeads <= Self.mostGroup,
            "\(layer.heads) query heads share \(layer.kvHeads) KV heads, expected up to \(Self.mostGroup) each"
        )
        try FusionRefusal.require(
            layer.headSize == 64 || layer.headSize == 128, "heads of \(layer.headSize), expected 64 or 128")
        try FusionRefusal.require(
            layer.rotary == layer.headSize,
            "\(layer.rotary) of \(layer.headSize) columns of a head turn, expected all")
        for size in [layer.hidden, layer.inner] {
            try FusionRefusal.require(
                size > 0 && size % 128 == 0, "a size of \(size), expected a multiple of 128")
        }
        try FusionRefusal.require(
            layer.byteCount <= Self.mostBytes,
            "a layer's matrices have \(layer.byteCount) bytes, at most \(Self.mostBytes) gain by it")
    }

    /// Clusters of the grid.
    var clusters: Int { layer.kvHeads }
    /// Blocks of the grid.
    var grid: Int { clusters * Self.cluster }
    /// Bytes of dynamic shared memory of a block.
    var sharedBytes: Int { 220 << 10 }
    /// Words of 8 bytes that clusters pass to each other: two sets, which take turns.
    var exchangeWords: Int { 2 * clusters * layer.hidden }

    /// What the kernel is compiled from.
    var unit: KernelUnit {
        KernelUnit(
            "decode_stack",
            [
                "WEIGHT": layer.weight.kernelType, "LAYERS": "\(layerCount)", "HIDDEN": "\(layer.hidden)",
                "FFN": "\(layer.inner)", "Q_HEADS": "\(layer.heads)", "KV_HEADS": "\(layer.kvHeads)",
                "HEAD_DIM": "\(layer.headSize)", "QKV_BIAS": layer.hasBias ? "1" : "0",
                "QK_NORM": layer.hasNorms ? "1" : "0", "TABLE": layer.hasTable ? "1" : "0",
                "CLUSTERS": "\(clusters)", "CLUSTER": "\(Self.cluster)",
            ])
    }
}
