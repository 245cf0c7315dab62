import ApusEngine
import ApusGraph

/// The sizes and constants of one attention, and the choice of its kernels.
struct AttentionShape {
    let heads: Int
    let kvHeads: Int
    /// Elements of a head.
    let size: Int
    /// Type of keys and values.
    let cache: ElementType
    let scale: Float
    /// 0 for none.
    let softcap: Float
    /// Keys that a query sees, its own included; 0 for all.
    let window: Int

    /// Query heads of a KV head.
    var group: Int { heads / max(kvHeads, 1) }
    /// Launches of a KV head: a block of the decode kernel takes at most eight heads.
    var parts: Int { (group + 7) / 8 }

    /// What all kernels are specialised by.
    var macros: [String: String] {
        [
            "CACHE_T": cache.kernelType, "HEAD_DIM": "\(size)", "Q_HEADS": "\(heads)", "KV_HEADS": "\(kvHeads)",
            "SOFTCAP": softcap > 0 ? "1" : "0",
        ]
    }

    /// How the keys of a single query are dealt out to blocks.
    struct Split {
        /// Blocks of a KV head, a multiple of the cluster.
        let count: Int
        let warps: Int
        let cluster: Int
        var macros: [String: String] { ["WARPS": "\(warps)", "CLUSTER": "\(cluster)"] }
    }

    /// Whether the decode kernel serves the head size.
    var hasDecodeKernel: Bool { size % 8 == 0 && size <= 256 }

    private static let keysOfGranule = 16
    private static let mostCluster = 8

    /// Two blocks a processor, as far as there are keys; clusters where the architecture has them.
    func split(batch: Int, capacity: Int, _ context: DeviceContext) -> Split {
        let warps = 8 * min(group, 8) * size <= 8192 ? 8 : 4
        let room = max(1, 2 * context.processorCount / (kvHeads * parts * batch))
        // Specialised by the usual GPU of the architecture; the grid follows the one that is there.
        let nominal = max(1, 2 * context.nominalProcessorCount / (kvHeads * parts * Self.roundedBatch(batch)))
        var cluster = 1
        if context.device.capability.major >= 9 {
            while cluster * 2 <= min(nominal, Self.mostCluster) { cluster *= 2 }
        }
        let tile = Self.keysOfGranule * warps
        let spread = cluster > 1 ? 4 : 1
        let most = (capacity + tile * cluster * spread - 1) / (tile * cluster * spread)
        return Split(count: cluster * min(max(room / cluster, 1), max(most, 1)), warps: warps, cluster: cluster)
    }

    /// The number of sequences that kernels are specialised by: a power of two.
    private static func roundedBatch(_ batch: Int) -> Int {
        var rounded = 1
        while rounded < min(batch, mostBatches) { rounded *= 2 }
        return rounded
    }

    /// Sequences from which clusters are no longer worth while.
    static let mostBatches = 128

    /// Counters for the decode kernel at any number of sequences up to `batch`.
    func counterCount(batch: Int) -> Int { 16 * kvHeads * parts * batch }

    /// Scratch of the decode kernel for up to `batch` sequences.
    func scratchBytes(batch: Int, _ context: DeviceContext) -> Int {
        let perPart = (group + parts - 1) / parts
        return (1...max(batch, 1)).reduce(0) { most, batch in
            let split = split(batch: batch, capacity: context.limits.capacity, context)
            let slice = (perPart * size / 4 + split.cluster - 1) / split.cluster
            return max(most, 4 * (4 * slice + 2 * perPart) * split.count * kvHeads * parts * batch)
        }
    }
}

/// What the kernels for many queries are given.
struct AttentionOperands {
    let q: UnsafeRawPointer?
    let queryElement: ElementType
    let k: UnsafeRawPointer
    let v: UnsafeRawPointer
    let out: UnsafeRawPointer
    let outElement: ElementType
    /// Elements between batches, heads and rows of q, k, v and the output.
    let strides: [Int]
    /// Bytes from a head's codes to its scales, of an i8 cache.
    let scaleOffset: Int
    let lengths: UnsafeRawPointer?
    let lengthStride: Int
    let starts: UnsafeRawPointer?
    /// 1 where lengths count the keys after the pass, 0 where they count new tokens.
    let totals: Int
    let batch: Int
    let rows: Int
    let keys: Int
    let isCausal: Bool
    let tree: (bits: UnsafeRawPointer, positions: UnsafeRawPointer)?
}

/// A mask that is added to scores, or hides where it is 0.
struct AttentionMaskOperand {
    let pointer: UnsafeRawPointer
    let element: ElementType
    /// Elements between batches, heads, queries and keys; 0 where it broadcasts.
    let strides: [Int]
}

extension AttentionShape {
    /// The launch for any number of queries: tensor cores, where they multiply the type of the keys.
    func call(
        _ operands: AttentionOperands, mask: AttentionMaskOperand?, _ context: DeviceContext
    ) -> KernelCall {
        if mask == nil, operands.tree == nil, hasPrefillKernel(operands) { return prefill(operands) }
        return general(operands, mask)
    }

    /// Whether rows of keys begin where 16 bytes may be copied at once, and the head size has a kernel.
    private func hasPrefillKernel(_ operands: AttentionOperands) -> Bool {
        let unit = 16 / cache.byteCount
        return (cache == .f16 || cache == .bf16) && size % 16 == 0 && size <= 256
            && (operands.queryElement == .f32 || operands.queryElement == cache)
            && UInt(bitPattern: operands.k) % 16 == 0 && UInt(bitPattern: operands.v) % 16 == 0
            && operands.strides[3..<9].allSatisfy { $0 % unit == 0 }
            && (operands.strides[..<3] + operands.strides[9...]).allSatisfy { $0 % 2 == 0 }
    }

    private func prefill(_ operands: AttentionOperands) -> KernelCall {
        let unit = KernelUnit(
            "attention_prefill",
            [
                "Q_T": operands.queryElement.kernelType, "CACHE_T": cache.kernelType,
                "OUT_T": operands.outElement.kernelType, "HEAD_DIM": "\(size)", "GROUP": "\(group)",
                "SOFTCAP": softcap > 0 ? "1" : "0",
            ])
        let keysOfTile = size <= 128 ? 64 : 32
        return KernelCall(
            unit, "attention_prefill", grid: .init(kvHeads, (operands.rows * group + 63) / 64, operands.batch),
            block: .init(128), sharedBytes: 8 * keysOfTile * (size + 8),
            [
                .pointer(operands.q), .pointer(operands.k), .pointer(operands.v), .pointer(operands.out),
                .words(operands.strides), .pointer(operands.lengths), .int32(operands.lengthStride),
                .pointer(operands.starts), .int32(operands.totals), .int32(operands.rows), .int32(operands.keys),
                .int32(operands.isCausal ? 1 : 0), .int32(window), .float(scale), .float(softcap),
            ])
    }

    private func general(_ operands: AttentionOperands, _ mask: AttentionMaskOperand?) -> KernelCall {
        let maskKind = mask == nil ? "0" : mask?.element == .f32 ? "1" : "2"
        let unit = KernelUnit(
            "attention_rows",
            [
                "Q_T": operands.queryElement.kernelType, "CACHE_T": cache.kernelType,
                "OUT_T": operands.outElement.kernelType, "HEAD_DIM": "\(size)", "GROUP": "\(group)",
                "SOFTCAP": softcap > 0 ? "1" : "0", "MASK": maskKind,
            ])
        let strides = mask?.strides ?? [0, 0, 0, 0]
        return KernelCall(
            unit, "attention_rows", grid: .init((operands.rows * group + 15) / 16, kvHeads, operands.batch),
            block: .init(128), sharedBytes: 4 * (32 * (size + 1) + 16 * size),
            [
                .pointer(operands.q), .pointer(operands.k), .pointer(operands.v), .pointer(operands.out),
                .words(operands.strides), .int64(operands.scaleOffset), .pointer(operands.lengths),
                .int32(operands.lengthStride), .pointer(operands.starts), .int32(operands.totals),
                .int32(operands.rows), .int32(operands.keys), .int32(operands.isCausal ? 1 : 0), .int32(window),
                .float(scale), .float(softcap), .pointer(mask?.pointer), .int64(strides[0]), .int64(strides[1]),
                .int64(strides[2]), .int64(strides[3]), .pointer(operands.tree?.bits),
                .pointer(operands.tree?.positions),
            ])
    }
}
