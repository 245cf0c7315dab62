internal import ApusSupport

/// The characters that stand for bytes in byte-level vocabularies.
///
/// Printable Latin-1 stands for itself, the other bytes are, in order, U+0100 and up.
/// Source: openai/gpt-2, src/encoder.py, `bytes_to_unicode`.
enum ByteAlphabet {
    /// The scalar of each byte.
    static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            if (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174 { return byte }
            defer { next += 1 }
            return next
        }
    }()

    /// The byte of each scalar below U+0144, -1 for those that stand for none.
    static let bytes: [Int16] = {
        var result = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { result[Int(scalar)] = Int16(byte) }
        return result
    }()

    /// The UTF-8 of the character of a byte.
    static func utf8(_ byte: UInt8) -> [UInt8] {
        let scalar = scalars[Int(byte)]
        return scalar < 128 ? [UInt8(scalar)] : [UInt8(0xC0 | scalar >> 6), UInt8(0x80 | scalar & 0x3F)]
    }

    /// A text as the characters of its bytes.
    static func encode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count * 2)
        for byte in text { append(byte, to: &result) }
        return result
    }

    static func append(_ byte: UInt8, to result: inout [UInt8]) {
        let scalar = scalars[Int(byte)]
        if scalar < 128 {
            result.append(UInt8(truncatingIfNeeded: scalar))
        } else {
            result.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
            result.append(UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F))
        }
    }

    /// Appends the bytes that a token's characters stand for; false, with nothing appended, if one stands for none.
    static func decode(_ token: UnsafeBufferPointer<UInt8>, into result: inout [UInt8]) -> Bool {
        let start = result.count
        var at = 0
        while at < token.count {
            let (scalar, length) = decodeScalar(token.baseAddress.unsafelyUnwrapped, at)
            guard scalar < bytes.count, bytes[Int(scalar)] >= 0 else {
                result.removeSubrange(start...)
                return false
            }
            result.append(UInt8(bytes[Int(scalar)]))
            at += length
        }
        return true
    }
}

/// The tokens that stand for single bytes in SentencePiece vocabularies.
enum ByteFallback {
    /// The token of a byte, as `<0x0A>`.
    static func token(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
    }

    /// The byte that a token stands for, nil for any other token.
    static func byte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token[0] == 0x3C, token[1] == 0x30, token[2] == 0x78, token[5] == 0x3E else {
            return nil
        }
        // Rust's from_str_radix takes a sign in front of digits.
        if token[3] == UInt8(ascii: "+"), let low = hexDigit(token[4]) { return low }
        guard let high = hexDigit(token[3]), let low = hexDigit(token[4]) else { return nil }
        return high << 4 | low
    }
}
