/// The offset of the first byte that does not belong to well-formed UTF-8, nil if all of it is well formed.
///
/// Source: Unicode Standard, table 3-7.
package func firstInvalidUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    guard let base = bytes.baseAddress else { return nil }
    let raw = UnsafeRawPointer(base)
    let end = bytes.count
    var at = 0
    while at < end {
        if end - at >= 8, raw.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
        {
            at += 8
            continue
        }
        let lead = base[at]
        if lead < 0x80 {
            at += 1
            continue
        }
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch lead {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if lead == 0xE0 { second = 0xA0...0xBF } else if lead == 0xED { second = 0x80...0x9F }
        case 0xF0...0xF4:
            length = 4
            if lead == 0xF0 { second = 0x90...0xBF } else if lead == 0xF4 { second = 0x80...0x8F }
        default: return at
        }
        guard end - at >= length, second.contains(base[at + 1]) else { return at }
        if length >= 3, base[at + 2] & 0xC0 != 0x80 { return at }
        if length == 4, base[at + 3] & 0xC0 != 0x80 { return at }
        at += length
    }
    return nil
}
