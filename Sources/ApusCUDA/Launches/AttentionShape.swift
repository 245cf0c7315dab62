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
            "CACHE_T": cache.kernelType, "HEAD_DIM": "\(size)", "Q_HEADS": "\(heads)",
            "KV_HEADS": "\(kvHeads)",
            "SOFTCAP": softcap > 0 ? "1" : "0",
        ]
    }

    /// How the keys of a single query are dealt out to blocks: see `attention_decode.cu`.
    struct Split {
        /// Blocks of a KV head, a multiple of the cluster.
        let count: Int
        let warps: Int
        /// Sets of 16 keys that a warp takes at a time.
        let sets: Int
        /// Units of keys that a warp holds in shared memory.
        let units: Int
        let cluster: Int
        /// Bytes of dynamic shared memory.
        let sharedBytes: Int
        /// Blocks for which registers must suffice, where that is not the kernel's own choice.
        var blocks: Int?
        var macros: [String: String] {
            var macros = [
                "WARPS": "\(warps)", "SETS": "\(sets)", "UNITS": "\(units)", "CLUSTER": "\(cluster)",
            ]
            macros["BLOCKS"] = blocks.map { "\($0)" }
            return macros
        }
    }

    /// Whether the decode kernel serves the head size.
    var hasDecodeKernel: Bool { size % 8 == 0 && size <= 256 }

    /// Capacities from which many blocks of a head have enough to do by themselves.
    static let longCapacity = 8192

    /// A block a processor, as far as there are keys; clusters where the architecture has them.
    ///
    /// Macros follow the usual GPU of the architecture, the grid the one that is there.
    func split(batch: Int, capacity: Int, _ context: DeviceContext) -> Split {
        let isLong = capacity > Self.longCapacity
        let sets = size * cache.byteCount <= (isLong ? 256 : 128) ? 2 : 1
        let unit = sets * (16 * size * cache.byteCount + (cache == .i8 ? 64 : 0))
        var units = min(max((isLong ? 25_000 : sets == 2 ? 12_500 : 16_700) / unit, 2), 8)
        var warps = 8
        let ownBytes = 20 << 10
        while warps > 1, warps * units * unit + ownBytes > context.device.architecture.sharedBytesPerBlock {
            warps /= 2
        }
        func room(_ cluster: Int, _ processors: Int) -> Int { cluster <= 2 ? processors : processors * 7 / 8 }
        let rows = kvHeads * parts * batch
        let roundedRows = kvHeads * parts * Self.roundedBatch(batch)
        var cluster = 1
        if context.device.capability.major >= 9 {
            let choices = isLong ? [2] : [8, 4, 2]
            cluster =
                choices.first { $0 * roundedRows <= room($0, context.nominalProcessorCount) } ?? 1
        }
        // Products of packed codes leave no room for eight warps. Four with the same keys in shared memory start beside them.
        var blocks: Int?
        if context.readsCodes, cluster == 8, sets == 1, warps == 8, units <= 4 {
            (warps, units, blocks) = (4, 2 * units, 3)
        }
        let keys = 16 * sets * warps * cluster * (cluster > 2 ? cluster / sets : 1)
        let most = max((capacity + keys - 1) / keys, 1)
        let clusters = min(max(room(cluster, context.processorCount) / (cluster * rows), 1), most)
        return Split(
            count: cluster * clusters, warps: warps, sets: sets, units: units, cluster: cluster,
            sharedBytes: warps * units * unit, blocks: blocks)
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
            let floats = 4 * (slice + (perPart + 1) / 2)
            return max(most, 4 * floats * split.count * kvHeads * parts * batch)
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
        if mask == nil, operands.tree == nil, hasPrefillKernel(operands) { return prefill(operands, context) }
        return general(operands, mask)
    }

    /// Whether kernels for many queries multiply heads of the size on tensor cores.
    var hasTensorCores: Bool { size % 16 == 0 && size <= 256 }

    /// Whether rows of keys begin where 16 bytes may be copied at once, and the head size has a kernel.
    private func hasPrefillKernel(_ operands: AttentionOperands) -> Bool {
        let unit = 16 / cache.byteCount
        return cache != .f32 && hasTensorCores
            && (operands.queryElement == .f32 || operands.queryElement == cache)
            && UInt(bitPattern: operands.k) % 16 == 0 && UInt(bitPattern: operands.v) % 16 == 0
            && operands.strides[3..<9].allSatisfy { $0 % unit == 0 }
            && (operands.strides[..<3] + operands.strides[9...]).allSatisfy { $0 % 2 == 0 }
    }

    /// Rows from which Hopper's own products pay.
    private static let manyRows = 256

    private func prefill(_ operands: AttentionOperands, _ context: DeviceContext) -> KernelCall {
        let capability = context.device.capability
        let usesHopper =
            capability == (9, 0) && cache != .i8 && (size == 64 || size == 128)
            && operands.rows * group >= Self.manyRows
        let name = usesHopper ? "attention_prefill_sm90" : "attention_prefill"
        let unit = KernelUnit(
            name,
            [
                "Q_T": operands.queryElement.kernelType, "CACHE_T": cache.kernelType,
                "OUT_T": operands.outElement.kernelType, "HEAD_DIM": "\(size)", "GROUP": "\(group)",
                "SOFTCAP": softcap > 0 ? "1" : "0",
            ])
        let keysOfTile = size <= 128 ? 64 : 32
        let rowsOfBlock = usesHopper ? 128 : 64
        return KernelCall(
            unit, name,
            grid: .init(kvHeads, (operands.rows * group + rowsOfBlock - 1) / rowsOfBlock, operands.batch),
            block: .init(usesHopper ? 384 : 128),
            sharedBytes: usesHopper ? 1024 + (size == 64 ? 2048 : 1536) * size : 8 * keysOfTile * (size + 8),
            [
                .pointer(operands.q), .pointer(operands.k), .pointer(operands.v), .pointer(operands.out),
                .words(operands.strides), .pointer(operands.lengths), .int32(operands.lengthStride),
                .pointer(operands.starts), .int32(operands.totals), .int32(operands.rows),
                .int32(operands.keys),
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
                .int32(operands.rows), .int32(operands.keys), .int32(operands.isCausal ? 1 : 0),
                .int32(window),
                .float(scale), .float(softcap), .pointer(mask?.pointer), .int64(strides[0]),
                .int64(strides[1]),
                .int64(strides[2]), .int64(strides[3]), .pointer(operands.tree?.bits),
                .pointer(operands.tree?.positions),
            ])
    }
}
