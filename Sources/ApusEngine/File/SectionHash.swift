import ApusSupport
import Dispatch
import Synchronization

/// The hash of a section: of each MiB the XXH64, and of those numbers, little-endian, the XXH64 again.
///
/// So the parts of a large section can be hashed by several threads, and while they are read.
public enum SectionHash {
    /// Bytes that are hashed at a time.
    static let chunkBytes = 1 << 20
    /// Sections above this size are hashed by several threads.
    private static let parallelBytes = 8 << 20
    /// Threads beyond this number wait for memory.
    static let mostThreads = 16

    /// The hash of bytes.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let chunks = ChunkHashes(byteCount: bytes.count)
        if bytes.count < parallelBytes {
            for chunk in 0..<chunks.count { chunks.set(chunk, bytes) }
        } else {
            let next = Atomic<Int>(0)
            // Read-only, and alive until all threads have returned.
            nonisolated(unsafe) let bytes = bytes
            DispatchQueue.concurrentPerform(iterations: mostThreads) { _ in
                while case let chunk = next.add(1, ordering: .relaxed).oldValue, chunk < chunks.count {
                    chunks.set(chunk, bytes)
                }
            }
        }
        return chunks.combined
    }

    /// The hash of an array's bytes.
    public static func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { hash($0) } }
}

/// The hashes of the chunks of one section; each is set once, by any thread.
final class ChunkHashes: @unchecked Sendable {
    private let byteCount: Int
    private let hashes: UnsafeMutableBufferPointer<UInt64>

    init(byteCount: Int) {
        self.byteCount = byteCount
        let count = (byteCount + SectionHash.chunkBytes - 1) / SectionHash.chunkBytes
        hashes = .allocate(capacity: count)
        hashes.initialize(repeating: 0)
    }

    deinit { hashes.deallocate() }

    var count: Int { hashes.count }

    /// The bytes of a chunk.
    func range(_ chunk: Int) -> Range<Int> {
        let start = chunk * SectionHash.chunkBytes
        return start..<min(start + SectionHash.chunkBytes, byteCount)
    }

    /// Hashes a chunk of the whole section's bytes.
    func set(_ chunk: Int, _ bytes: UnsafeRawBufferPointer) {
        set(chunk, chunk: UnsafeRawBufferPointer(rebasing: bytes[range(chunk)]))
    }

    /// Hashes a chunk.
    func set(_ chunk: Int, chunk bytes: UnsafeRawBufferPointer) {
        hashes[chunk] = XXHash64.hash(bytes).littleEndian
    }

    /// The hash of the section, when all chunks are set.
    var combined: UInt64 { XXHash64.hash(UnsafeRawBufferPointer(hashes)) }
}
