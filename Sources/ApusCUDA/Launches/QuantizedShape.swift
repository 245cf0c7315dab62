import ApusGraph

/// Groups of inputs that share a scale, as packed codes hold them: see `quantized.cuh`.
enum QuantizedGroups {
    /// Inputs with each group padded to what a product of tensor cores takes.
    static func paddedInputs(k: Int, group: Int) -> Int {
        (k / max(group, 1) * paddedGroup(group) + 63) / 64 * 64
    }

    static func paddedGroup(_ group: Int) -> Int {
        group <= 16 ? 16 : group <= 32 ? 32 : (group + 63) / 64 * 64
    }
}

/// How the kernel for few rows deals packed codes out to warps: `quantized_gemv.cu` describes the macros and how to choose them.
struct QuantizedGemvShape {
    let threads: Int
    let grid: Int
    /// Bytes of dynamic shared memory.
    let sharedBytes: Int
    let macros: [String: String]

    /// The matrix: `n` features, of each half where `parts` is 2, and `k` inputs, `group` of which share a scale.
    struct Matrix {
        let n, k, bits, group, rows, parts, scaleBytes: Int
        let hasZeros: Bool
    }

    /// Chooses for a matrix and the usual GPU of an architecture.
    init(_ matrix: Matrix, architecture: CUDAArchitecture) {
        let (k, bits, rows, parts) = (matrix.k, matrix.bits, matrix.rows, matrix.parts)
        let limit = architecture.sharedBytesPerBlock
        let tiles = (matrix.n + 15) / 16
        grid = min(tiles, architecture.nominalProcessorCount)
        let paddedGroup = QuantizedGroups.paddedGroup(matrix.group)
        let padded = QuantizedGroups.paddedInputs(k: k, group: matrix.group)
        let isSmall = matrix.n * parts * k * bits / 8 < 24_000_000
        let mayBeLong = bits == 4 && parts == 1 && padded % 256 == 0
        let unit = paddedGroup % 128 != 0 ? 64 : mayBeLong && (rows == 1 ? !isSmall : rows == 2) ? 256 : 128
        let units = padded / unit
        let groups = unit / min(paddedGroup, unit, 128)
        let codes = parts * 2 * unit * bits
        let beside = (k > matrix.group ? matrix.scaleBytes : 0) + (matrix.hasZeros ? 1 : 0)
        let slot = codes + parts * 16 * groups * beside
        threads = rows == 1 && 16 * slot <= limit / 2 ? 512 : 256
        let warps = threads / 32
        let inFlight = rows > 1 ? 48 << 10 : isSmall ? 32 << 10 : 96 << 10
        let depth = max(1, min(inFlight / codes, limit / 2 / slot) / warps)
        let tileSums = warps * 64 * rows * parts
        let meet = max(1, min((tiles + grid - 1) / grid, limit * (rows == 1 ? 1 : 2) / 7 / tileSums))
        let fixed = 192 * rows + warps * depth * slot + tileSums * meet + 4 * max(rows, 2) * warps
        let unitBytes = 6 * rows * unit + 32 * groups
        let most = max(1, min((rows == 1 ? 120 : 100) << 10, limit - fixed) / unitBytes)
        let inputUnits = Self.inputUnits(of: units, most: most, warps: warps)
        // Blocks so small that a multiprocessor could take two ask for more than half of it: where the scheduler puts two of
        // them side by side, another multiprocessor has none.
        sharedBytes = max(fixed + unitBytes * inputUnits, threads == 512 ? 0 : limit / 2 + 1024)
        macros = [
            "THREADS": "\(threads)", "GRID": "\(grid)", "UNIT": "\(unit)", "DEPTH": "\(depth)",
            "MEET": "\(meet)",
            "X_UNITS": inputUnits == units ? "0" : "\(inputUnits)", "BLOCKS": "1",
        ]
    }

    /// Units of inputs that are in shared memory at a time: all, or so many that all warps have the same work in each pass,
    /// or that all passes are about equal.
    private static func inputUnits(of units: Int, most: Int, warps: Int) -> Int {
        if units <= most { return units }
        let even = stride(from: most / warps * warps, through: warps, by: -warps).first { units % $0 == 0 }
        if let even, 3 * even >= most { return even }
        let passes = (units + most - 1) / most
        return (units + passes - 1) / passes
    }
}

/// How the kernel for some dozens of rows deals packed codes out to blocks: see `quantized_gemm.cu`.
struct QuantizedGemmShape {
    static let threads = 256
    /// Rows from which a weight that is written out once is multiplied faster.
    static let mostRows = 128

    let tile: Int
    let splits: Int
    let macros: [String: String]
    let sharedBytes: Int

    /// - Parameter input: Type of x: `f32` or `f16`.
    init(n: Int, k: Int, group: Int, rows: Int, input: ElementType, processors: Int) {
        tile = [16, 32, 64].first { $0 >= rows } ?? 128
        let blocks = QuantizedGroups.paddedInputs(k: k, group: group) / 64
        splits = min(max(1, 2 * processors / ((n + 127) / 128)), blocks)
        let stages = input == .f32 ? 2 : tile == 16 ? 6 : 4
        sharedBytes = stages * tile * 128
        macros = [
            "M_TILE": "\(tile)", "SPLITS": "\(splits)", "INPUT": input.kernelType,
            "DEPTH": tile == 128 ? "2" : "4",
            "BLOCKS": tile == 128 ? "1" : "2", "STAGES": "\(stages)",
        ]
    }
}
