import ApusEngine
import ApusSupport

/// An executor whose logits are a hash of the whole sequence: any token lost, doubled or in the wrong row shows.
final class FakeExecutor: Executor {
    let limits: SessionLimits
    let vocabularySize: Int
    let workingBytes = 0
    /// Batch and width of each pass.
    private(set) var passes: [(batch: Int, width: Int)] = []
    var recordsPasses = true
    private var caches: [[Int32]]
    private var lengths: [Int]
    private let logits: UnsafeMutableBufferPointer<Float>
    /// Maps a hash to the logits of a step; nil takes pseudo-random ones.
    private let logitsAfter: (([Int32]) -> [Float])?

    init(
        _ limits: SessionLimits, vocabularySize: Int = 50, logitsAfter: (([Int32]) -> [Float])? = nil
    ) {
        self.limits = limits
        self.vocabularySize = vocabularySize
        self.logitsAfter = logitsAfter
        caches = Array(repeating: Array(repeating: -1, count: limits.capacity), count: limits.batch)
        lengths = Array(repeating: 0, count: limits.batch)
        logits = .allocate(capacity: limits.batch * vocabularySize)
        logits.initialize(repeating: .nan)
    }

    deinit { logits.deallocate() }

    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float> {
        guard batch <= limits.batch, width <= limits.chunk, tokens.count == batch * width else {
            throw ApusError(.invalidInput, "pass of \(batch) × \(width)")
        }
        if recordsPasses { passes.append((batch, width)) }
        // What a pass does not compute is nothing to rely on.
        logits.update(repeating: .nan)
        for row in 0..<batch {
            let (new, cached) = (Int(newCounts[row]), Int(cachedCounts[row]))
            guard (1...width).contains(new), cached >= 0, cached + new <= limits.capacity,
                cached == 0 || cached <= lengths[row]
            else { throw ApusError(.invalidInput, "row \(row): \(cached) cached, \(new) new") }
            for column in 0..<new { caches[row][cached + column] = tokens[row * width + column] }
            lengths[row] = cached + new
            if let logitsAfter {
                let values = logitsAfter(Array(caches[row][..<lengths[row]]))
                for (id, value) in values.enumerated() { logits[row * vocabularySize + id] = value }
            } else {
                var hash = Self.seed
                for index in 0..<lengths[row] { hash = Self.mix(hash, caches[row][index]) }
                for id in 0..<vocabularySize {
                    logits[row * vocabularySize + id] = Self.logit(hash, Int32(id))
                }
            }
        }
        return UnsafeBufferPointer(rebasing: logits[..<(batch * vocabularySize)])
    }

    private static let seed: UInt64 = 0x243F_6A88_85A3_08D3

    private static func mix(_ hash: UInt64, _ id: Int32) -> UInt64 {
        var word = (hash ^ UInt64(UInt32(bitPattern: id))) &* 0x9E37_79B9_7F4A_7C15
        word ^= word >> 29
        return word
    }

    private static func logit(_ hash: UInt64, _ id: Int32) -> Float {
        Float(mix(hash, id) >> 40) / Float(1 << 24) * 8 - 4
    }

    /// The logits that follow a sequence.
    static func logits(after sequence: [Int32], vocabularySize: Int = 50) -> [Float] {
        let hash = sequence.reduce(seed, mix)
        return (0..<vocabularySize).map { logit(hash, Int32($0)) }
    }
}
