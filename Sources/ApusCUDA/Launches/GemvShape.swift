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
    ///
    /// Of all ways to share rows among threads the one with the least work for the busiest thread: its loads, those past
    /// the end of a row included, and the sums that are passed between threads.
    /// - Parameter processors: Of the usual GPU of the architecture.
    init(n: Int, k: Int, elementBytes: Int, parts: Int, rows: Int, processors: Int) {
        let v = 16 / elementBytes
        let chunks = (k + v - 1) / v
        let grid = min(n, 2 * processors)
        let rowsOfBlock = (n + grid - 1) / grid
        // Loads of 16 bytes in flight for each thread: registers hold them, beside the sums of all rows of x.
        let inFlight = rows <= 2 ? 8 : 4
        var best = (cost: Double.infinity, rowThreads: 32, tileRows: 1, depth: 1)
        for rowThreads in [8, 16, 32, 64, 128, 256] {
            let steps = (chunks + rowThreads - 1) / rowThreads
            for tileRows in [1, 2, 4] {
                let wanted = min(inFlight - 2, steps * tileRows * parts)
                var choice: (steps: Int, depth: Int)?
                for depth in 1...12 {
                    let loads = tileRows * depth * parts
                    guard loads <= inFlight + 2, loads >= wanted else { continue }
                    let padded = (steps + depth - 1) / depth * depth
                    if let choice, choice.steps < padded { continue }
                    choice = (padded, depth)
                }
                guard let choice, tileRows * choice.depth * parts <= inFlight + 2 else { continue }
                let blockRows = Self.threads / rowThreads * tileRows
                let tiles = (rowsOfBlock + blockRows - 1) / blockRows
                let lanes = Double(min(rowThreads, 32).trailingZeroBitCount)
                let cost =
                    Double(tiles)
                    * (Double(choice.steps * tileRows * parts) + 3 + (rowThreads > 32 ? 3 : 0)
                        + 0.4 * Double(tileRows * parts) * lanes)
                if cost < best.cost { best = (cost, rowThreads, tileRows, choice.depth) }
            }
        }
        self.grid = grid
        rowThreads = best.rowThreads
        tileRows = best.tileRows
        depth = best.depth
        blocksPerProcessor = rows <= 2 ? 4 : 2
        let steps = (chunks + best.rowThreads - 1) / best.rowThreads
        // Inputs that do not fit beside another block's come in parts.
        let bytesOfStep = 4 * rows * best.rowThreads * v
        let room = max(1, (88 << 10) / bytesOfStep / best.depth) * best.depth
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
