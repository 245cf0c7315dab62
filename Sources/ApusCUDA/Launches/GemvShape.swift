/// How the kernel for few rows deals a matrix out to threads: the macros that `gemv.cu` describes.
struct GemvShape: Hashable {
    static let threads = 256
    let rowThreads: Int
    let tileRows: Int
    let depth: Int
    let inputSteps: Int
    let grid: Int
    let blocksPerProcessor: Int
    let bytesAhead: Int

    /// Chooses for a matrix of `n` rows, twice as many if it is gated, of `k` elements of `elementBytes`.
    /// - Parameter processors: Of the usual GPU of the architecture.
    init(n: Int, k: Int, elementBytes: Int, parts: Int, rows: Int, processors: Int) {
        let chunks = (k * elementBytes + 15) / 16
        let most = max(1, (rows > 4 ? 4 : 8) / parts)
        // Enough blocks that every row is begun at once where the matrix is small.
        grid = min(n, 2 * processors)
        let rowsOfBlock = (n + grid - 1) / grid
        var rowThreads = 32
        // Few rows of a block: more threads share one.
        while rowThreads < Self.threads, rowsOfBlock * rowThreads < Self.threads, rowThreads * 2 <= chunks {
            rowThreads *= 2
        }
        while rowThreads > 8, chunks <= rowThreads / 2 { rowThreads /= 2 }
        self.rowThreads = rowThreads
        let steps = (chunks + rowThreads - 1) / rowThreads
        depth = min(steps, most)
        tileRows = rowsOfBlock * rowThreads > Self.threads ? max(1, min(most / depth, 4)) : 1
        blocksPerProcessor = 4
        let v = 16 / elementBytes
        // Inputs that do not fit beside another block's come in parts.
        let bytesOfStep = 4 * rows * rowThreads * v
        let room = max(1, (48 << 10) / bytesOfStep / depth) * depth
        inputSteps = steps <= room ? 0 : room
        bytesAhead = 0
    }

    var macros: [String: String] {
        [
            "THREADS": "\(Self.threads)", "ROW_THREADS": "\(rowThreads)", "TILE_ROWS": "\(tileRows)",
            "DEPTH": "\(depth)", "X_STEPS": "\(inputSteps)", "GRID": "\(grid)", "BLOCKS": "\(blocksPerProcessor)",
            "L2_AHEAD": "\(bytesAhead)",
        ]
    }

    /// Bytes of dynamic shared memory.
    func sharedBytes(k: Int, elementBytes: Int, parts: Int, rows: Int) -> Int {
        let v = 16 / elementBytes
        let chunks = (k * elementBytes + 15) / 16
        let steps = ((chunks + rowThreads - 1) / rowThreads + depth - 1) / depth * depth
        let inputs = (inputSteps == 0 ? steps : inputSteps) * rowThreads * v
        let warps = Self.threads / 32
        let partials = rowThreads > 32 ? 2 * warps * tileRows * rows * parts : 0
        return 4 * (rows * inputs + max(rows, 2) * warps + partials)
    }
}
