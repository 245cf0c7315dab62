/// How `gemv_staged` deals a matrix out to threads and to shared memory: `gemv_staged.cu` describes the macros.
struct StagedGemvShape: Hashable {
    let threads: Int
    let grid: Int
    private let rowThreads: Int
    private let tileRows: Int
    private let slots: Int
    private let blocksPerProcessor: Int
    /// Bytes of dynamic shared memory.
    let sharedBytes: Int

    /// Bytes of the largest matrix of a step for which staging pays: longer ones stream as well without it.
    static let mostBytes = 128_000_000
    /// Chunks of 16 bytes of a row that a thread keeps the inputs of in registers, if rows are not too long.
    private static let mostSteps = 5
    /// Shared memory that the system takes of every block.
    private static let reservedBytes = 1 << 10

    /// Chooses for a matrix; nil where the kernel does not serve.
    /// - Parameters:
    ///   - processors: Of the usual GPU of the architecture.
    ///   - sharedBytes: Of a block, at most; blocks that share a processor share these.
    init?(_ matrix: GemvShape.Matrix, processors: Int, sharedBytes mostBytes: Int) {
        let (n, k, parts) = (matrix.n, matrix.k, matrix.parts)
        let rowBytes = k * matrix.elementBytes
        guard matrix.rows == 1, !matrix.isHead, n > 0, rowBytes > 0, rowBytes % 16 == 0 else { return nil }
        let crew = Self.crew(matrix)
        let grid = min(n, crew.blocks * processors)
        let features = (n + grid - 1) / grid
        let chunks = rowBytes / 16
        let rowThreads = Self.rowThreads(chunks, crew.threads)
        let steps = (chunks + rowThreads - 1) / rowThreads
        let groups = crew.threads / rowThreads
        let warps = crew.threads / 32
        let ownBytes =
            64 * steps * rowThreads / matrix.elementBytes + 8 * warps
            + 4 * parts * features * rowThreads / 32
        let stage = mostBytes / crew.blocks - Self.reservedBytes - ownBytes
        let whole = parts * features * rowBytes
        var tileRows = 1
        while tileRows < (parts == 2 ? 2 : 4), 2 * tileRows * groups <= features { tileRows *= 2 }
        // Where not all fits, several tiles must.
        while tileRows > 1, whole > stage, 3 * parts * groups * tileRows * rowBytes > stage { tileRows /= 2 }
        let tileBytes = parts * groups * tileRows * rowBytes
        let tiles = (features + groups * tileRows - 1) / (groups * tileRows)
        slots = whole <= stage ? tiles : stage / tileBytes
        guard slots >= min(tiles, 2) else { return nil }
        (threads, self.grid, blocksPerProcessor) = (crew.threads, grid, crew.blocks)
        (self.rowThreads, self.tileRows) = (rowThreads, tileRows)
        sharedBytes = min(whole, slots * tileBytes) + ownBytes
    }

    /// So many threads share a row that none holds the inputs of more than a few chunks, with the least that are idle.
    private static func rowThreads(_ chunks: Int, _ most: Int) -> Int {
        var best = (share: Double.infinity, threads: most)
        for threads in [32, 64, 128, 256, 512] where threads <= most {
            let steps = (chunks + threads - 1) / threads
            let share = Double(steps * threads) / Double(chunks)
            if steps <= mostSteps, share < best.share - 0.05 { best = (share, threads) }
        }
        return best.threads
    }

    /// How many threads a block has, and how many blocks a processor.
    ///
    /// What is resident beside each other counts: small blocks let those of the next kernels in, whose weights then come
    /// while these compute. Measured over whole layers on an H200.
    private static func crew(_ matrix: GemvShape.Matrix) -> (threads: Int, blocks: Int) {
        let bytes = matrix.byteCount
        if matrix.parts == 2 || bytes >= 40_000_000 { return (512, 1) }
        return (256, matrix.hasNorm || bytes >= 16_000_000 ? 2 : 1)
    }

    var macros: [String: String] {
        [
            "THREADS": "\(threads)", "GRID": "\(grid)", "ROW_THREADS": "\(rowThreads)",
            "TILE_ROWS": "\(tileRows)", "SLOTS": "\(slots)", "BLOCKS": "\(blocksPerProcessor)",
        ]
    }
}
