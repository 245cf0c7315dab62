/// How the kernel for few rows deals a matrix out to threads: `gemv.cu` describes the macros and how to choose them.
struct GemvShape: Hashable {
    let threads: Int
    let grid: Int
    private let rowThreads: Int
    private let tileRows: Int
    private let depth: Int
    private let inputSteps: Int
    private let blocksPerProcessor: Int
    /// Bytes of dynamic shared memory.
    let sharedBytes: Int

    /// How many threads and blocks share a matrix, and how many loads of 16 bytes each thread has in flight.
    private struct Crew {
        let threads, grid, blocks, inFlight: Int
    }

    /// The matrix: `n` rows, twice as many in two parts, of `k` elements of `elementBytes`, and the rows of inputs.
    struct Matrix: Hashable {
        let n, k, elementBytes, parts, rows: Int
        let isHead: Bool
        /// Whether the product norms its inputs.
        let hasNorm: Bool

        var byteCount: Int { n * parts * k * elementBytes }
    }

    /// Inputs of a block that stay in shared memory whole; of more, this is half of what is held at a time.
    private static let mostInputBytes = 96 << 10

    /// Chooses for a matrix.
    ///
    /// Of all ways to share rows among threads the one with the least work for the busiest thread: its loads, those past
    /// the end of a row included, and the sums that are passed between threads.
    /// - Parameter processors: Of the usual GPU of the architecture.
    init(_ matrix: Matrix, processors: Int) {
        let (n, k, parts, rows) = (matrix.n, matrix.k, matrix.parts, matrix.rows)
        let crew = Self.crew(matrix, processors)
        let grid = min(n, crew.grid)
        let v = 16 / matrix.elementBytes
        let chunks = (k + v - 1) / v
        let rowsOfBlock = (n + grid - 1) / grid
        var best = (cost: Double.infinity, rowThreads: 32, tileRows: 1, depth: 1)
        for leastTile in rows > 1 ? [2, 1] : [1] where best.cost == .infinity {
            for rowThreads in [8, 16, 32, 64, 128, 256] {
                let steps = (chunks + rowThreads - 1) / rowThreads
                for tileRows in [1, 2, 4]
                where tileRows >= leastTile && (rows == 1 || tileRows * parts * rows <= 32) {
                    let least = min(crew.inFlight - 2, steps * tileRows * parts)
                    var choice: (steps: Int, depth: Int)?
                    for depth in 1...12 where (least...crew.inFlight + 2).contains(tileRows * depth * parts) {
                        let padded = (steps + depth - 1) / depth * depth
                        if let choice, choice.steps < padded { continue }
                        choice = (padded, depth)
                    }
                    guard let choice else { continue }
                    let blockRows = crew.threads / rowThreads * tileRows
                    let tiles = (rowsOfBlock + blockRows - 1) / blockRows
                    let lanes = Double(min(rowThreads, 32).trailingZeroBitCount)
                    let cost =
                        Double(tiles)
                        * (Double(choice.steps * tileRows * parts) + 3 + (rowThreads > 32 ? 3 : 0)
                            + 0.4 * Double(tileRows * parts) * lanes)
                    if cost < best.cost { best = (cost, rowThreads, tileRows, choice.depth) }
                }
            }
        }
        (threads, self.grid, blocksPerProcessor) = (crew.threads, grid, crew.blocks)
        (rowThreads, tileRows, depth) = (best.rowThreads, best.tileRows, best.depth)
        let steps =
            ((chunks + best.rowThreads - 1) / best.rowThreads + best.depth - 1) / best.depth * best.depth
        let bytesOfSteps = 4 * rows * best.rowThreads * v * best.depth
        let held = max(1, Self.mostInputBytes / 2 / bytesOfSteps) * best.depth
        inputSteps = 4 * rows * k <= Self.mostInputBytes || held >= steps ? 0 : held
        let inputs = (inputSteps == 0 ? steps : inputSteps) * best.rowThreads * v
        let warps = crew.threads / 32
        let partials = best.rowThreads > 32 ? 2 * warps * best.tileRows * rows * parts : 0
        sharedBytes = 4 * (rows * inputs + max(rows, 2) * warps + partials)
    }

    private static func crew(_ matrix: Matrix, _ processors: Int) -> Crew {
        let bytes = matrix.byteCount
        if matrix.rows > 1 { return Crew(threads: 256, grid: 2 * processors, blocks: 2, inFlight: 8) }
        if matrix.isHead { return Crew(threads: 256, grid: 4 * processors, blocks: 4, inFlight: 6) }
        if bytes >= 40_000_000 || matrix.k >= 8192 {
            return Crew(threads: 512, grid: 2 * processors, blocks: 2, inFlight: 6)
        }
        if matrix.parts == 2 {
            return Crew(
                threads: 256, grid: (bytes >= 15_000_000 ? 4 : 2) * processors, blocks: 4, inFlight: 8)
        }
        if bytes >= 6_000_000 { return Crew(threads: 256, grid: 2 * processors, blocks: 3, inFlight: 10) }
        return Crew(threads: 256, grid: processors, blocks: 4, inFlight: 8)
    }

    var macros: [String: String] {
        [
            "THREADS": "\(threads)", "GRID": "\(grid)", "ROW_THREADS": "\(rowThreads)",
            "TILE_ROWS": "\(tileRows)",
            "DEPTH": "\(depth)", "X_STEPS": "\(inputSteps)", "BLOCKS": "\(blocksPerProcessor)",
        ]
    }
}

/// How the kernel for a few rows and FP16 weights deals tiles of 16 features out to warps: see `gemv_rows.cu`.
struct GemvRowsShape: Hashable {
    static let threads = 256
    private static let inputBlocks = 32

    let grid: Int
    /// Bytes of dynamic shared memory.
    let sharedBytes: Int
    let macros: [String: String]

    /// - Parameter processors: Of the usual GPU of the architecture.
    init(_ matrix: GemvShape.Matrix, processors: Int) {
        let tiles = (matrix.n + 15) / 16
        let warps = Self.threads / 32
        grid = min(tiles, 2 * processors)
        let tilesOfBlock = (tiles + grid - 1) / grid
        var tileWarps = 1
        while tileWarps < min(tilesOfBlock, warps) { tileWarps *= 2 }
        let blocks = min(Self.inputBlocks, (matrix.k / 32 + 3) / 4 * 4)
        let columns = matrix.rows <= 4 ? matrix.rows : 8
        sharedBytes =
            4
            * (32 * columns * blocks + matrix.rows * blocks + max(matrix.rows, 2) * warps
                + 32 * warps * matrix.rows * matrix.parts)
        macros = [
            "THREADS": "\(Self.threads)", "GRID": "\(grid)", "SPLIT": "\(warps / tileWarps)", "TILES": "1",
            "DEPTH": matrix.parts == 2 ? "2" : "4", "X_BLOCKS": "\(blocks)", "BLOCKS": "2",
        ]
    }
}
