@testable import ApusFrontend

/// Writes zip archives as PyTorch does, or wrong on purpose.
struct ZipWriter {
    struct Entry {
        var name: String
        var bytes: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0
        var offset: Int?
        var size: Int?
        var checksum: UInt32?
        /// Sizes and offset in a zip64 field.
        var isWide = false
    }

    var entries: [Entry] = []
    var isZip64 = true
    /// Zeros in place of sizes and checksums in the local headers, as a streaming writer leaves.
    var isStreamed = true

    mutating func add(_ name: String, _ bytes: [UInt8]) { entries.append(Entry(name: name, bytes: bytes)) }
    mutating func add(_ name: String, _ text: String) { add(name, Array(text.utf8)) }

    /// The archive's bytes.
    func bytes() -> [UInt8] {
        var out: [UInt8] = []
        var offsets: [Int] = []
        for entry in entries {
            offsets.append(out.count)
            let checksum = entry.checksum ?? CRC32.checksum(entry.bytes)
            out +=
                number(0x0403_4B50, 4) + number(20, 2) + number(Int(entry.flags), 2)
                + number(Int(entry.method), 2)
            out += number(0, 4) + number(isStreamed ? 0 : Int(checksum), 4)
            out +=
                number(isStreamed ? 0 : entry.bytes.count, 4) + number(isStreamed ? 0 : entry.bytes.count, 4)
            out += number(entry.name.utf8.count, 2) + number(0, 2) + Array(entry.name.utf8) + entry.bytes
        }
        let start = out.count
        for (entry, offset) in zip(entries, offsets) {
            let checksum = entry.checksum ?? CRC32.checksum(entry.bytes)
            let (size, place) = (entry.size ?? entry.bytes.count, entry.offset ?? offset)
            let extra =
                entry.isWide
                ? number(1, 2) + number(24, 2) + number(size, 8) + number(size, 8) + number(place, 8) : []
            out += number(0x0201_4B50, 4) + number(20, 2) + number(20, 2) + number(Int(entry.flags), 2)
            out += number(Int(entry.method), 2) + number(0, 4) + number(Int(checksum), 4)
            out += number(entry.isWide ? 0xFFFF_FFFF : size, 4) + number(entry.isWide ? 0xFFFF_FFFF : size, 4)
            out += number(entry.name.utf8.count, 2) + number(extra.count, 2) + number(0, 8)
            out +=
                number(0, 2) + number(entry.isWide ? 0xFFFF_FFFF : place, 4) + Array(entry.name.utf8) + extra
        }
        let length = out.count - start
        if isZip64 {
            let end = out.count
            out += number(0x0606_4B50, 4) + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8)
            out += number(entries.count, 8) + number(entries.count, 8) + number(length, 8) + number(start, 8)
            out += number(0x0706_4B50, 4) + number(0, 4) + number(end, 8) + number(1, 4)
        }
        out += number(0x0605_4B50, 4) + number(0, 4) + number(entries.count, 2) + number(entries.count, 2)
        return out + number(length, 4) + number(start, 4) + number(0, 2)
    }

    private func number(_ value: Int, _ size: Int) -> [UInt8] {
        (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
