/// What a pair of token ids merges to, and how soon.
///
/// A merge is one word, rank in front: the smaller of two comes first.
final class PairTable: @unchecked Sendable {
    // Filled once, before it is shared; never written after.
    private let slots: UnsafeMutablePointer<(key: UInt64, merge: UInt64)>
    private let mask: Int

    /// The merge of a pair that does not merge.
    static let none = UInt64.max

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: (.max, .max), count: size)
        mask = size - 1
    }

    deinit { slots.deallocate() }

    @inline(__always) private func slot(_ key: UInt64) -> Int {
        let product = key.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return Int(truncatingIfNeeded: product.high ^ product.low) & mask
    }

    /// Sets the merge of a pair; of two for one pair the later counts.
    func insert(_ left: Int32, _ right: Int32, rank: UInt32, id: Int32) {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var at = slot(key)
        while slots[at].key != .max, slots[at].key != key { at = (at &+ 1) & mask }
        slots[at] = (key, UInt64(rank) << 32 | UInt64(UInt32(bitPattern: id)))
    }

    /// The merge of a pair, or `none`.
    @inline(__always) func merge(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var at = slot(key)
        while true {
            let slot = slots[at]
            if slot.key == key { return slot.merge }
            if slot.key == .max { return Self.none }
            at = (at &+ 1) & mask
        }
    }
}
