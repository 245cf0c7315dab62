import ApusEngine
import ApusSupport
import CApusCPU

/// The work of one attention, as workers take it: units of queries, or splits of the keys of a single query.
///
/// A sequence with one new token splits its keys into chunks of a fixed size, so that few heads still fill the machine.
/// Where units of queries begin changes no bit of the kernels' results. So every number of threads gives the same bits.
final class AttentionWork {
    /// Keys of one split.
    private static let keysPerSplit = 256
    /// Rows of scores, queries × heads of a group, that share the panels of a tile of keys in the kernel.
    private static let rowsPerUnit = 384
    /// Queries of a unit are a multiple of this, so that the kernel's register tiles are full whatever the group.
    private static let queryGrain = 12
    /// Units that each worker gets on average at least, where there are so many.
    private static let unitsPerWorker = 4

    private let kernels: UnsafePointer<apus_kernels>
    private let heads: Int
    private let kvHeads: Int
    private let headSize: Int
    private let partials: HugeBuffer
    private let partialFloats: Int
    private let splitsPerHead: Int
    private let queue = WorkQueue()

    /// - Parameters:
    ///   - batch: The most sequences.
    ///   - capacity: The most keys of a sequence.
    /// - Throws: `.outOfMemory`.
    init(
        _ kernels: UnsafePointer<apus_kernels>, heads: Int, kvHeads: Int, headSize: Int, batch: Int,
        capacity: Int
    ) throws(ApusError) {
        self.kernels = kernels
        (self.heads, self.kvHeads, self.headSize) = (heads, kvHeads, headSize)
        splitsPerHead = (capacity + Self.keysPerSplit - 1) / Self.keysPerSplit
        partialFloats = kernels.pointee.attention_partial_floats(heads, kvHeads, headSize)
        partials = try HugeBuffer(
            byteCount: batch * kvHeads * splitsPerHead * partialFloats * 4, purpose: "attention partials")
    }

    /// Scratch bytes that each worker needs.
    var scratchBytes: Int { kernels.pointee.attention_scratch_bytes(heads, kvHeads, headSize) }

    /// Starts anew; called before every pass.
    func reset() { queue.reset() }

    /// A worker's share of `batch` sequences with `tokens` rows of queries each.
    ///
    /// Rows past a sequence's length are padding and become zero. ``combine(_:batch:tokens:worker:workers:)`` comes after it.
    func attend(
        _ attention: apus_attention, batch: Int, tokens: Int, workers: Int, scratch: UnsafeMutableRawPointer?
    ) {
        if tokens == 1 {
            attendSplits(attention, batch, scratch)
        } else {
            attendUnits(attention, batch, tokens, workers, scratch)
        }
    }

    /// A worker's share of what is left once all have attended: joins the splits of single queries.
    func combine(_ attention: apus_attention, batch: Int, tokens: Int, worker: Int, workers: Int) {
        guard tokens == 1 else { return }
        var arguments = attention
        for unit in share(batch * kvHeads, worker, workers) {
            let (sequence, head) = (unit / kvHeads, unit % kvHeads)
            let splits = splits(attention, sequence)
            kernels.pointee.attention_decode_combine(
                &arguments, sequence, head, partial(sequence, head, splits.lowerBound), splits.count)
        }
    }

    /// Queries of a unit: enough to pay for rearranging the keys, but no worker shall wait long for the last one.
    private func queriesPerUnit(_ count: Int, _ workers: Int) -> Int {
        let grain = Self.queryGrain
        let most = max(Self.rowsPerUnit * kvHeads / heads / grain, 1) * grain
        let fair = (count / (workers * Self.unitsPerWorker) + grain - 1) / grain * grain
        return min(max(fair, grain), most)
    }

    /// Units of queries, the longest first, so that no worker is left alone with a long one at the end.
    private func attendUnits(
        _ attention: apus_attention, _ batch: Int, _ tokens: Int, _ workers: Int,
        _ scratch: UnsafeMutableRawPointer?
    ) {
        var arguments = attention
        let perUnit = batch * kvHeads
        let queries = queriesPerUnit(perUnit * tokens, workers)
        let unitsPerRow = (tokens + queries - 1) / queries
        while true {
            let ticket = queue.take()
            guard ticket < unitsPerRow * perUnit else { return }
            let (sequence, head) = (ticket % perUnit / kvHeads, ticket % kvHeads)
            let first = (unitsPerRow - 1 - ticket / perUnit) * queries
            let last = min(first + queries, tokens)
            let count = Int(attention.length[sequence] - attention.start[sequence])
            let valid = max(min(last, count), first)
            if valid > first { kernels.pointee.attention(&arguments, sequence, head, first, valid, scratch) }
            for token in valid..<last { clear(attention, sequence, head, token) }
        }
    }

    /// Makes the output of a padding row zero, for the query heads of one KV head.
    private func clear(_ attention: apus_attention, _ sequence: Int, _ head: Int, _ token: Int) {
        let row = sequence * attention.out_batch_stride + token * attention.out_token_stride
        let group = heads / kvHeads
        for query in head * group..<(head + 1) * group {
            (attention.out + row + query * attention.out_head_stride).update(repeating: 0, count: headSize)
        }
    }

    private func attendSplits(
        _ attention: apus_attention, _ batch: Int, _ scratch: UnsafeMutableRawPointer?
    ) {
        var arguments = attention
        var base = 0
        var ticket = queue.take()
        for sequence in 0..<batch {
            let splits = splits(attention, sequence)
            while ticket < base + splits.count * kvHeads {
                let split = splits.lowerBound + (ticket - base) / kvHeads
                let head = (ticket - base) % kvHeads
                let first = split * Self.keysPerSplit
                let last = min(first + Self.keysPerSplit, Int(attention.length[sequence]))
                kernels.pointee.attention_decode_partial(
                    &arguments, sequence, head, first, last, partial(sequence, head, split), scratch)
                ticket = queue.take()
            }
            base += splits.count * kvHeads
        }
    }

    /// The splits of a sequence that hold a key its new token may see; a tree's bits tell more than its window.
    private func splits(_ attention: apus_attention, _ sequence: Int) -> Range<Int> {
        let (length, window) = (Int(attention.length[sequence]), Int(attention.window))
        let first = window > 0 && attention.tree == nil ? max(length - window, 0) : 0
        return first / Self.keysPerSplit..<(length + Self.keysPerSplit - 1) / Self.keysPerSplit
    }

    private func partial(_ sequence: Int, _ head: Int, _ split: Int) -> UnsafeMutablePointer<Float> {
        let index = (sequence * kvHeads + head) * splitsPerHead + split
        return partials.base.assumingMemoryBound(to: Float.self) + index * partialFloats
    }
}
