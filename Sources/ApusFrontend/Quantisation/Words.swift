/// Words of 32 bits that hold several codes, taken apart with plain integer arithmetic.
enum Words {
    /// A word of a little-endian file.
    @inline(__always)
    static func load(_ base: UnsafeRawPointer, _ index: Int) -> UInt32 {
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
    }

    /// Writes 8 bytes, the lowest first.
    @inline(__always)
    static func store(_ bytes: UInt64, _ target: UnsafeMutableRawPointer) {
        target.storeBytes(of: bytes.littleEndian, as: UInt64.self)
    }

    /// The 8 nibbles of a word as bytes: nibble i becomes byte i.
    @inline(__always)
    static func spread(_ word: UInt32) -> UInt64 {
        var x = UInt64(word)
        x = (x | x << 16) & 0x0000_FFFF_0000_FFFF
        x = (x | x << 8) & 0x00FF_00FF_00FF_00FF
        return (x | x << 4) & 0x0F0F_0F0F_0F0F_0F0F
    }

    /// The 8 nibbles of a word of AWQ as bytes in order: nibbles 0…3 become the even bytes, 4…7 the odd ones.
    @inline(__always)
    static func spreadInterleaved(_ word: UInt32) -> UInt64 {
        spreadEven(UInt64(word & 0xFFFF)) | spreadEven(UInt64(word >> 16)) << 8
    }

    @inline(__always)
    private static func spreadEven(_ half: UInt64) -> UInt64 {
        let x = (half | half << 24) & 0x0000_00FF_0000_00FF
        return (x | x << 12) & 0x000F_000F_000F_000F
    }

    /// Transposes 8 rows of 8 bytes.
    @inline(__always)
    static func transpose(_ rows: UnsafeMutablePointer<UInt64>) {
        for row in 0..<4 { exchange(rows, row, row + 4, 32, 0x0000_0000_FFFF_FFFF) }
        for row in 0..<4 { exchange(rows, row + row & 2, row + row & 2 + 2, 16, 0x0000_FFFF_0000_FFFF) }
        for row in 0..<4 { exchange(rows, 2 * row, 2 * row + 1, 8, 0x00FF_00FF_00FF_00FF) }
    }

    /// Exchanges the high parts of row a with the low parts of row b.
    @inline(__always)
    private static func exchange(
        _ rows: UnsafeMutablePointer<UInt64>, _ a: Int, _ b: Int, _ shift: UInt64, _ mask: UInt64
    ) {
        let difference = (rows[a] >> shift ^ rows[b]) & mask
        rows[b] ^= difference
        rows[a] ^= difference << shift
    }
}
