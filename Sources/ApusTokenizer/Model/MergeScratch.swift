/// The working memory of one encoding: symbols, their merges, a heap, and the cache of words.
struct MergeScratch: Sendable {
    var ids: [Int32] = []
    var cache = WordCache()
    private var merges: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var heap: [UInt64] = []

    /// Above this many symbols, a heap finds the next merge faster than a look at them all.
    private static let heapThreshold = 64

    /// Merges `ids` until no pair merges: always the lowest rank, of equal ones the leftmost.
    mutating func mergeAll(_ pairs: PairTable) {
        if ids.count < 2 { return }
        if ids.count <= Self.heapThreshold { mergeFew(pairs) } else { mergeMany(pairs) }
    }

    private mutating func mergeFew(_ pairs: PairTable) {
        var count = ids.count
        if merges.count < Self.heapThreshold {
            merges = [UInt64](repeating: PairTable.none, count: Self.heapThreshold)
        }
        // Taken out of self, so that both can be written at once.
        var (symbols, ranks): ([Int32], [UInt64]) = ([], [])
        swap(&symbols, &ids)
        swap(&ranks, &merges)
        symbols.withUnsafeMutableBufferPointer { ids in
            ranks.withUnsafeMutableBufferPointer { merges in
                for at in 0..<count &- 1 { merges[at] = pairs.merge(ids[at], ids[at &+ 1]) }
                while count > 1 {
                    var best = PairTable.none
                    var at = 0
                    for candidate in 0..<count &- 1 where merges[candidate] < best {
                        best = merges[candidate]
                        at = candidate
                    }
                    if best == PairTable.none { break }
                    ids[at] = Int32(truncatingIfNeeded: best)
                    count &-= 1
                    for moved in at &+ 1..<max(count, at &+ 1) {
                        ids[moved] = ids[moved &+ 1]
                        merges[moved &- 1] = merges[moved]
                    }
                    if at > 0 { merges[at &- 1] = pairs.merge(ids[at &- 1], ids[at]) }
                    if at &+ 1 < count { merges[at] = pairs.merge(ids[at], ids[at &+ 1]) }
                }
            }
        }
        symbols.removeLast(symbols.count - count)
        swap(&symbols, &ids)
        swap(&ranks, &merges)
    }

    private mutating func mergeMany(_ pairs: PairTable) {
        let count = ids.count
        merges = [UInt64](repeating: PairTable.none, count: count)
        next = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
            for at in 0..<count { buffer[at] = at + 1 < count ? Int32(at + 1) : -1 }
            size = count
        }
        previous = [Int32](unsafeUninitializedCapacity: count) { buffer, size in
            for at in 0..<count { buffer[at] = Int32(at - 1) }
            size = count
        }
        heap.removeAll(keepingCapacity: true)
        for at in 0..<count - 1 {
            merges[at] = pairs.merge(ids[at], ids[at + 1])
            if merges[at] != PairTable.none { heap.append(Self.entry(merges[at], at)) }
        }
        for parent in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(parent) }
        while let top = heap.first {
            let last = heap.removeLast()
            if !heap.isEmpty {
                heap[0] = last
                siftDown(0)
            }
            let at = Int(top & 0xFFFF_FFFF)
            // An entry is stale unless the pair at its place still has its rank.
            guard merges[at] != PairTable.none, merges[at] >> 32 == top >> 32 else { continue }
            let right = Int(next[at])
            ids[at] = Int32(truncatingIfNeeded: merges[at])
            ids[right] = -1
            merges[right] = PairTable.none
            next[at] = next[right]
            if next[at] >= 0 { previous[Int(next[at])] = Int32(at) }
            if previous[at] >= 0 { update(Int(previous[at]), pairs) }
            update(at, pairs)
        }
        ids.removeAll { $0 < 0 }
        // A text of one huge piece must not keep its memory for good.
        if count > 1 << 16 { (merges, next, previous, heap) = ([], [], [], []) }
    }

    @inline(__always) private static func entry(_ merge: UInt64, _ at: Int) -> UInt64 {
        merge & 0xFFFF_FFFF_0000_0000 | UInt64(at)
    }

    private mutating func update(_ at: Int, _ pairs: PairTable) {
        guard next[at] >= 0 else {
            merges[at] = PairTable.none
            return
        }
        merges[at] = pairs.merge(ids[at], ids[Int(next[at])])
        guard merges[at] != PairTable.none else { return }
        heap.append(Self.entry(merges[at], at))
        var child = heap.count - 1
        while child > 0, case let parent = (child - 1) / 2, heap[child] < heap[parent] {
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        heap.withUnsafeMutableBufferPointer { heap in
            let value = heap[start]
            var parent = start
            while true {
                var child = 2 &* parent &+ 1
                if child >= heap.count { break }
                if child &+ 1 < heap.count, heap[child &+ 1] < heap[child] { child &+= 1 }
                if heap[child] >= value { break }
                heap[parent] = heap[child]
                parent = child
            }
            heap[parent] = value
        }
    }
}
