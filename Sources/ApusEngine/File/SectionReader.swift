import ApusSupport
import Dispatch
import Synchronization

/// Reads a large section into memory with several threads; each hashes what it has read while it is in its cache.
struct SectionReader {
    let file: InputFile
    let section: EngineFileHeader.Section

    /// A huge page: no two threads wait for the same page to be cleared.
    private static let chunksPerRead = HugeBuffer.pageBytes / SectionHash.chunkBytes

    /// Checks the section without keeping it.
    /// - Throws: As ``read(into:progress:)``.
    func verify() throws(ApusError) {
        let chunks = ChunkHashes(byteCount: section.byteCount)
        for chunk in 0..<chunks.count {
            let range = chunks.range(chunk)
            let bytes = try file.bytes(section.offset + range.lowerBound..<section.offset + range.upperBound)
            bytes.withUnsafeBytes { chunks.set(chunk, chunk: $0) }
        }
        try EngineFile.check(chunks.combined, section, file)
    }

    /// Fills the buffer, whose size is that of the section.
    /// - Throws: `.invalidInput` if the section is damaged or the file was cut short, `.io`.
    func read(into buffer: HugeBuffer, progress: (any ProgressReporter)?) throws(ApusError) {
        let chunks = ChunkHashes(byteCount: section.byteCount)
        let reads = (chunks.count + Self.chunksPerRead - 1) / Self.chunksPerRead
        let next = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        let failure = Mutex<ApusError?>(nil)
        DispatchQueue.concurrentPerform(iterations: SectionHash.mostThreads) { _ in
            while case let read = next.add(1, ordering: .relaxed).oldValue, read < reads,
                failure.withLock({ $0 == nil })
            {
                let list = read * Self.chunksPerRead..<min((read + 1) * Self.chunksPerRead, chunks.count)
                let range =
                    chunks.range(list.lowerBound).lowerBound..<chunks.range(list.upperBound - 1).upperBound
                let all = UnsafeMutableRawBufferPointer(start: buffer.base, count: section.byteCount)
                do throws(ApusError) {
                    try file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: all[range]),
                        at: section.offset + range.lowerBound)
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    return
                }
                for chunk in list { chunks.set(chunk, UnsafeRawBufferPointer(all)) }
                let bytes = done.add(range.count, ordering: .relaxed).newValue
                progress?.progress("Loading weights", completed: bytes, total: section.byteCount)
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        try EngineFile.check(chunks.combined, section, file)
    }

    /// Sends the section to a device, each part as soon as it is read.
    /// - Throws: As ``read(into:progress:)``, and what sending throws.
    func read(
        into receiver: any WeightReceiver, progress: (any ProgressReporter)?
    ) throws(ApusError) -> any DeviceWeights {
        let chunks = ChunkHashes(byteCount: section.byteCount)
        let next = Atomic<Int>(0)
        let done = Atomic<Int>(0)
        let failure = Mutex<ApusError?>(nil)
        // A thread fills one slot while the device empties its other.
        let threads = max(min(SectionHash.mostThreads, receiver.slotCount / 2), 1)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            var slot = thread
            while case let chunk = next.add(1, ordering: .relaxed).oldValue, chunk < chunks.count,
                failure.withLock({ $0 == nil })
            {
                let range = chunks.range(chunk)
                do throws(ApusError) {
                    let part = UnsafeMutableRawBufferPointer(
                        rebasing: try receiver.part(slot)[..<range.count])
                    try file.read(into: part, at: section.offset + range.lowerBound)
                    chunks.set(chunk, chunk: UnsafeRawBufferPointer(part))
                    try receiver.send(slot, count: range.count, to: range.lowerBound)
                } catch {
                    failure.withLock { $0 = $0 ?? error }
                    return
                }
                slot += threads
                if slot >= receiver.slotCount { slot = thread }
                let bytes = done.add(range.count, ordering: .relaxed).newValue
                progress?.progress("Loading weights", completed: bytes, total: section.byteCount)
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        try EngineFile.check(chunks.combined, section, file)
        return try receiver.finish()
    }
}
