/// A bounded cache from a short piece of text to its ids: one cache line an entry, the newer evicts the older.
struct WordCache {
    /// Pieces of more bytes, or that give more ids, are not kept.
    static let maximumBytes = 32
    static let maximumIDs = 7

    private struct Entry {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var d: UInt64 = 0
        var ids: (Int32, Int32, Int32, Int32, Int32, Int32, Int32) = (0, 0, 0, 0, 0, 0, 0)
        var byteCount: UInt16 = 0
        var idCount: UInt16 = 0
    }

    /// The bytes of a piece as four words, zero behind its end.
    struct Key {
        fileprivate let a, b, c, d: UInt64
        fileprivate let count: Int

        /// Reads a piece; 32 bytes from its start on have to be readable.
        @inline(__always) init(_ text: UnsafePointer<UInt8>, _ count: Int) {
            let raw = UnsafeRawPointer(text)
            @inline(__always) func word(_ offset: Int) -> UInt64 {
                if count <= offset { return 0 }
                let value = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                return count >= offset &+ 8 ? value : value & (1 << UInt64(8 &* (count &- offset)) &- 1)
            }
            a = word(0)
            b = word(8)
            c = word(16)
            d = word(24)
            self.count = count
        }

        fileprivate var slot: Int {
            let low = TokenTable.mix(a ^ 0x9E37_79B9_7F4A_7C15 ^ UInt64(count))
            let rest =
                count <= 8 ? 0 : TokenTable.mix(b ^ c &* 0xC2B2_AE3D_27D4_EB4F ^ d &* 0x1656_67B1_9E37_79F9)
            return Int(truncatingIfNeeded: low ^ rest &* 31) & (WordCache.slotCount - 1)
        }
    }

    private static let slotCount = 1 << 15
    private var entries: [Entry] = []

    /// Appends the ids of a piece that is known; false if it is not.
    @inline(__always) func append(_ key: Key, to output: inout [Int32]) -> Bool {
        if entries.isEmpty { return false }
        return entries.withUnsafeBufferPointer { entries in
            let entry = entries.baseAddress.unsafelyUnwrapped + key.slot
            guard entry.pointee.a == key.a, entry.pointee.b == key.b, entry.pointee.c == key.c,
                entry.pointee.d == key.d, Int(entry.pointee.byteCount) == key.count
            else { return false }
            let ids = entry.pointee.ids
            let count = entry.pointee.idCount
            if count > 0 { output.append(ids.0) }
            if count > 1 { output.append(ids.1) }
            if count > 2 { output.append(ids.2) }
            if count > 3 { output.append(ids.3) }
            if count > 4 { output.append(ids.4) }
            if count > 5 { output.append(ids.5) }
            if count > 6 { output.append(ids.6) }
            return true
        }
    }

    /// Notes the ids of a piece.
    mutating func insert(_ key: Key, _ ids: ArraySlice<Int32>) {
        guard ids.count <= Self.maximumIDs, key.count > 0 else { return }
        if entries.isEmpty { entries = [Entry](repeating: Entry(), count: Self.slotCount) }
        func id(_ offset: Int) -> Int32 { offset < ids.count ? ids[ids.startIndex + offset] : 0 }
        entries[key.slot] = Entry(
            a: key.a, b: key.b, c: key.c, d: key.d, ids: (id(0), id(1), id(2), id(3), id(4), id(5), id(6)),
            byteCount: UInt16(key.count), idCount: UInt16(ids.count))
    }
}
