import CApusCPU

/// A product with quantised weights on all workers.
///
/// Workers first round a share of the rows each, into their own scratch; then they take blocks of output features as
/// they become free, and read everyone's rows. Where that is less work than to meet, every worker rounds all rows for
/// itself. With exact activations there is nothing to round.
final class QuantizedProduct {
    /// Output features are handed out in multiples of this many: four panels, a tile of the kernels for few rows.
    private static let grain = 64
    /// Output features of a block where rows are many: their codes stay in a second-level cache.
    private static let features = 256
    /// Blocks each worker gets on average while weights stream through.
    private static let streamedBlocksPerWorker = 6
    /// Numbers that a worker rounds rather than wait for another to round half of them.
    private static let ownNumbers = 16384
    /// Rows from which an exact product is blocked; the kernel decides the same way, this only sizes its work.
    private static let exactBlockedRows = 5

    private let kernels: UnsafePointer<apus_kernels>
    private var arguments: apus_quantized_linear
    private let isExact: Bool
    private let workers: Int
    private let mostRows: Int
    private let rowBytes: Int
    private let pieces: Int
    private let queue = WorkQueue()
    private let parts: UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>
    private var block = 64

    /// Binds a product.
    /// - Parameters:
    ///   - arguments: Everything but what belongs to rounded rows, and the number of rows.
    ///   - mostRows: The largest number of rows.
    init(
        _ arguments: apus_quantized_linear, isExact: Bool, mostRows: Int, workers: Int,
        _ kernels: UnsafePointer<apus_kernels>
    ) {
        self.arguments = arguments
        self.isExact = isExact
        self.workers = workers
        self.mostRows = mostRows
        self.kernels = kernels
        rowBytes = apus_quantized_row_bytes(arguments.k)
        pieces = apus_quantized_pieces(arguments.k, arguments.group)
        parts = .allocate(capacity: workers)
        parts.initialize(repeating: nil)
    }

    deinit { parts.deallocate() }

    /// Whether every worker rounds all rows.
    private var roundsAlone: Bool {
        workers == 1 || arguments.m == 1 || arguments.m * arguments.k <= Self.ownNumbers
    }

    /// Phases of a pass with the current number of rows.
    var phaseCount: Int { isExact || roundsAlone ? 1 : 2 }

    /// Scratch of each worker: its share of the rounded rows, or all of them where they are few.
    var scratchBytes: Int {
        let (m, n, k) = (max(mostRows, 1), arguments.n, arguments.k)
        guard !isExact else {
            return max(
                kernels.pointee.exact_linear_scratch_bytes(m, n, k),
                kernels.pointee.exact_linear_scratch_bytes(1, n, k))
        }
        let alone = workers == 1 ? m : min(m, max(Self.ownNumbers / k, 1))
        return max(alone, Self.rowsPerWorker(m, workers)) * (rowBytes + 8 * pieces) + 64
    }

    /// Rows that the first workers round, a whole number of tiles.
    private static func rowsPerWorker(_ rows: Int, _ workers: Int) -> Int {
        let tiles = (rows + 11) / 12
        return (tiles + workers - 1) / workers * 12
    }

    /// Takes the number of rows of the next passes.
    func resize(rows: Int) {
        arguments.m = rows
        let n = arguments.n
        let isStreamed = isExact ? rows < Self.exactBlockedRows : rows <= 12
        let share = (isExact ? 2 : 1) * Self.features
        let blocks =
            isStreamed ? workers * Self.streamedBlocksPerWorker : (n + share - 1) / share
        let features = (n + blocks - 1) / max(blocks, 1)
        block = max((features + Self.grain - 1) / Self.grain * Self.grain, Self.grain)
        if workers == 1 { block = isStreamed ? max(n, 1) : share }
    }

    /// Before every pass.
    func prepare() { queue.reset() }

    /// One worker's share of a phase.
    func run(phase: Int, worker: Int, scratch: UnsafeMutableRawPointer?) {
        if isExact { return multiplyExactly(scratch) }
        if roundsAlone {
            round(0..<arguments.m, into: scratch)
            var arguments = rows(0..<arguments.m, in: scratch)
            takeBlocks { kernels.pointee.quantized_linear(&arguments, $0, $1) }
        } else if phase == 0 {
            parts[worker] = scratch
            round(rowRange(of: worker), into: scratch)
        } else {
            takeBlocks { first, last in
                for part in 0..<workers {
                    let range = rowRange(of: part)
                    guard !range.isEmpty else { return }
                    var arguments = rows(range, in: parts[part])
                    kernels.pointee.quantized_linear(&arguments, first, last)
                }
            }
        }
    }

    private func rowRange(of worker: Int) -> Range<Int> {
        let share = Self.rowsPerWorker(arguments.m, workers)
        let first = min(worker * share, arguments.m)
        return first..<min(first + share, arguments.m)
    }

    /// The arguments for a range of rows, rounded in `scratch`.
    private func rows(_ range: Range<Int>, in scratch: UnsafeMutableRawPointer?) -> apus_quantized_linear {
        var part = arguments
        part.m = range.count
        part.x = arguments.x + range.lowerBound * arguments.ldx
        part.y = arguments.y + range.lowerBound * arguments.ldy
        guard let scratch else { return part }
        part.x_codes = scratch.assumingMemoryBound(to: Int8.self)
        let scales = scratch + range.count * rowBytes
        part.x_scales = scales.assumingMemoryBound(to: Float.self)
        part.x_starts = (scales + range.count * pieces * 4).assumingMemoryBound(to: Int32.self)
        return part
    }

    private func round(_ range: Range<Int>, into scratch: UnsafeMutableRawPointer?) {
        guard !range.isEmpty else { return }
        var part = rows(range, in: scratch)
        kernels.pointee.quantize_rows(&part, 0, range.count)
    }

    private func multiplyExactly(_ scratch: UnsafeMutableRawPointer?) {
        var arguments = arguments
        takeBlocks { kernels.pointee.exact_linear(&arguments, $0, $1, scratch) }
    }

    @inline(__always)
    private func takeBlocks(_ body: (Int, Int) -> Void) {
        while true {
            let first = queue.take() * block
            guard first < arguments.n else { return }
            body(first, min(first + block, arguments.n))
        }
    }
}
