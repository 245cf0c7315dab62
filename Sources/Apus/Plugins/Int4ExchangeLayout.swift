public import ApusSupport

/// 4-bit codes in the order that TensorRT Edge-LLM's Int4GroupwiseGemm reads: int8 [N/2, K], a view of int16 [N/4, K].
///
/// The word at [g][64·block + j] holds in bits 4b…4b+3, for b = 0…3, the code of output feature n = 4g + j/16 and input
/// k = 64·block + 32·((j mod 16)/8) + 8b + (j mod 8). Words are little-endian; a number is (code − 8) · scale.
public enum Int4ExchangeLayout {
    /// The codes u8[N, K], a code to a byte, that words hold.
    /// - Parameters:
    ///   - words: N/4 · K words, two bytes each.
    ///   - rows: N, a multiple of 4.
    ///   - columns: K, a multiple of 64.
    /// - Throws: `.mismatch` for sizes that do not go together.
    public static func codes(_ words: [UInt8], rows: Int, columns: Int) throws(ApusError) -> [UInt8] {
        try check(rows, columns, count: words.count, expected: rows / 2 * columns, "bytes of words")
        var codes = [UInt8](repeating: 0, count: rows * columns)
        forEachPlace(rows, columns) { word, nibble, place in
            codes[place] = words[2 * word + nibble / 2] >> (nibble % 2 * 4) & 15
        }
        return codes
    }

    /// The words that hold the codes u8[N, K].
    /// - Throws: `.mismatch` for sizes that do not go together, `.invalidInput` for a code above 15.
    public static func words(_ codes: [UInt8], rows: Int, columns: Int) throws(ApusError) -> [UInt8] {
        try check(rows, columns, count: codes.count, expected: rows * columns, "codes")
        if let code = codes.first(where: { $0 > 15 }) {
            throw ApusError(.invalidInput, "codes: expected 0...15, got \(code)")
        }
        var words = [UInt8](repeating: 0, count: rows / 2 * columns)
        forEachPlace(rows, columns) { word, nibble, place in
            words[2 * word + nibble / 2] |= codes[place] << (nibble % 2 * 4)
        }
        return words
    }

    private static func check(
        _ rows: Int, _ columns: Int, count: Int, expected: Int, _ what: String
    ) throws(ApusError) {
        guard rows > 0, columns > 0, rows % 4 == 0, columns % 64 == 0 else {
            throw ApusError(
                .mismatch,
                "exchange layout: expected a multiple of 4 rows and of 64 columns, got \(rows) × \(columns)")
        }
        guard count == expected else {
            throw ApusError(
                .mismatch,
                "exchange layout of \(rows) × \(columns): expected \(expected) \(what), got \(count)")
        }
    }

    /// Calls `body` with the position of each word, of each nibble in it, and of its code in [N, K].
    private static func forEachPlace(_ rows: Int, _ columns: Int, _ body: (Int, Int, Int) -> Void) {
        for group in 0..<rows / 4 {
            for block in 0..<columns / 64 {
                for j in 0..<64 {
                    let row = 4 * group + j / 16
                    let column = 64 * block + 32 * (j % 16 / 8) + j % 8
                    for nibble in 0..<4 {
                        body(
                            group * columns + 64 * block + j, nibble, row * columns + column + 8 * nibble)
                    }
                }
            }
        }
    }
}
