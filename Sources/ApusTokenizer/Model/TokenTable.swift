internal import ApusSupport

/// The tokens of a vocabulary as bytes, found by their bytes or by their id.
struct TokenTable: Sendable {
    private var bytes: [UInt8] = []
    private var starts: [UInt32] = [0]
    private var ids: [Int32] = []
    private var slots: [UInt64]
    private var entryOfID: [Int32] = []

    /// The tokens' number.
    var count: Int { ids.count }

    /// One more than the highest id.
    var idBound: Int { entryOfID.count }

    /// Whether every token is found by its id.
    var hasUniqueIDs: Bool { (0..<ids.count).allSatisfy { entryOfID[Int(ids[$0])] == Int32($0) } }

    /// Ids are kept in a flat table: one this high can only be a mistake.
    static let maximumID = 1 << 24

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        slots = [UInt64](repeating: 0, count: size)
        ids.reserveCapacity(capacity)
        starts.reserveCapacity(capacity + 1)
        bytes.reserveCapacity(capacity * 8)
        entryOfID.reserveCapacity(capacity)
    }

    /// Adds a token, or gives an existing one a new id.
    mutating func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int32) {
        let hash = Self.hash(token)
        if let entry = find(token, hash) {
            entryOfID[Int(ids[entry])] = -1
            ids[entry] = id
            setEntry(of: id, entry)
            return
        }
        if ids.count * 2 >= slots.count { grow() }
        let entry = ids.count
        bytes.append(contentsOf: token)
        starts.append(UInt32(bytes.count))
        ids.append(id)
        setEntry(of: id, entry)
        place(hash, entry)
    }

    private mutating func setEntry(of id: Int32, _ entry: Int) {
        while entryOfID.count <= Int(id) { entryOfID.append(-1) }
        entryOfID[Int(id)] = Int32(entry)
    }

    private mutating func place(_ hash: UInt64, _ entry: Int) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 { slot = (slot &+ 1) & mask }
        slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(entry + 1)
    }

    private mutating func grow() {
        slots = [UInt64](repeating: 0, count: slots.count * 2)
        for entry in 0..<ids.count { place(withBytes(ofEntry: entry) { Self.hash($0) }, entry) }
    }

    /// The id of a token.
    func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
        find(token, Self.hash(token)).map { ids[$0] }
    }

    /// The id of a token.
    func id(of token: [UInt8]) -> Int32? { token.withUnsafeBufferPointer { id(of: $0) } }

    /// Calls `body` with the bytes of a token; nil, without a call, if the id is not in use.
    func withBytes<R>(ofID id: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R? {
        guard id >= 0, Int(id) < entryOfID.count, case let entry = entryOfID[Int(id)], entry >= 0 else {
            return nil
        }
        return withBytes(ofEntry: Int(entry), body)
    }

    func contains(_ id: Int32) -> Bool { id >= 0 && Int(id) < entryOfID.count && entryOfID[Int(id)] >= 0 }

    private func withBytes<R>(ofEntry entry: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        let range = Int(starts[entry])..<Int(starts[entry + 1])
        return bytes.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
    }

    private func find(_ token: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int? {
        slots.withUnsafeBufferPointer { slots in
            let mask = slots.count - 1
            var slot = Int(truncatingIfNeeded: hash) & mask
            while slots[slot] != 0 {
                if (slots[slot] ^ hash) >> 32 == 0 {
                    let entry = Int(slots[slot] & 0xFFFF_FFFF) - 1
                    if isEqual(entry, token) { return entry }
                }
                slot = (slot &+ 1) & mask
            }
            return nil
        }
    }

    private func isEqual(_ entry: Int, _ token: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = Int(starts[entry])
        guard Int(starts[entry + 1]) - start == token.count else { return false }
        return bytes.withUnsafeBufferPointer { all in
            for offset in 0..<token.count where all[start &+ offset] != token[offset] { return false }
            return true
        }
    }

    /// A 64-bit hash whose high half tells apart what the low half puts in one slot.
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        let raw = UnsafeRawBufferPointer(bytes)
        var at = 0
        while at &+ 8 <= raw.count {
            hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at &+= 8
        }
        var tail: UInt64 = 0
        while at < raw.count {
            tail = tail << 8 | UInt64(raw[at])
            at &+= 1
        }
        return mix(hash ^ tail)
    }

    @inline(__always) static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
