import ApusSupport

extension QuantizedTensors {
    /// Takes codes apart: from a tensor's bytes to u8[N, K], row by row in the order of the file's columns.
    ///
    /// The tensor must have the type that ``problems(of:groups:in:)`` asks for.
    /// - Throws: `.invalidInput` for a byte that is no code of so many bits.
    func unpackCodes(
        _ source: UnsafeRawPointer, to target: UnsafeMutablePointer<UInt8>, rows: Int, columns: Int
    ) throws(ApusError) {
        switch codes.layout {
        case .wordsOfColumns where bits == 4: Self.unpackWordsOfColumns4(source, target, rows, columns)
        case .wordsOfColumns: Self.unpackWordsOfColumns8(source, target, rows, columns)
        case .interleavedRows: Self.unpackInterleavedRows(source, target, rows, columns)
        case .packedRows where bits == 4: Self.unpackPackedRows4(source, target, rows, columns)
        case .packedRows:
            let stride = (columns + 3) / 4 * 4
            for row in 0..<rows {
                UnsafeMutableRawPointer(target + row * columns).copyMemory(
                    from: source + row * stride, byteCount: columns)
            }
        case .signedBytes: try unpackSignedBytes(source, target, rows * columns)
        }
    }

    /// i32[K/8, N]: rows are taken in tiles, so that the lines that are written to stay in the cache.
    private static func unpackWordsOfColumns4(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt8>, _ rows: Int, _ columns: Int
    ) {
        let (tile, whole) = (16, columns / 8)
        for first in stride(from: 0, to: rows, by: tile) {
            let end = min(first + tile, rows)
            for block in 0..<whole {
                for row in first..<end {
                    let word = Words.load(source, block * rows + row)
                    Words.store(Words.spread(word), target + (row * columns + 8 * block))
                }
            }
            for column in 8 * whole..<columns {
                for row in first..<end {
                    let word = Words.load(source, whole * rows + row)
                    target[row * columns + column] = UInt8(word >> UInt32(4 * (column - 8 * whole)) & 15)
                }
            }
        }
    }

    /// i32[K/4, N], the same for codes that are bytes.
    private static func unpackWordsOfColumns8(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt8>, _ rows: Int, _ columns: Int
    ) {
        let (tile, whole) = (16, columns / 4)
        for first in stride(from: 0, to: rows, by: tile) {
            let end = min(first + tile, rows)
            for block in 0..<whole {
                for row in first..<end {
                    let word = Words.load(source, block * rows + row)
                    UnsafeMutableRawPointer(target + (row * columns + 4 * block)).storeBytes(
                        of: word.littleEndian, as: UInt32.self)
                }
            }
            for column in 4 * whole..<columns {
                for row in first..<end {
                    let word = Words.load(source, whole * rows + row)
                    target[row * columns + column] = UInt8(
                        truncatingIfNeeded: word >> UInt32(8 * (column - 4 * whole)))
                }
            }
        }
    }

    /// i32[K, N/8], where 8 words below each other are a square of 8 by 8 codes.
    ///
    /// Words beside each other are taken together, a line of the cache at a time.
    private static func unpackInterleavedRows(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt8>, _ rows: Int, _ columns: Int
    ) {
        let (tile, width) = (16, rows / 8)
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 8) { square in
            guard let square = square.baseAddress else { return }
            for first in stride(from: 0, to: width, by: tile) {
                for column in stride(from: 0, to: columns, by: 8) {
                    for block in first..<min(first + tile, width) {
                        for line in 0..<8 {
                            square[line] = Words.spreadInterleaved(
                                Words.load(source, (column + line) * width + block))
                        }
                        Words.transpose(square)
                        for line in 0..<8 {
                            Words.store(square[line], target + ((8 * block + line) * columns + column))
                        }
                    }
                }
            }
        }
    }

    /// i32[N, ⌈K/8⌉].
    private static func unpackPackedRows4(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt8>, _ rows: Int, _ columns: Int
    ) {
        let (words, whole) = ((columns + 7) / 8, columns / 8)
        for row in 0..<rows {
            let line = target + row * columns
            for block in 0..<whole {
                Words.store(Words.spread(Words.load(source, row * words + block)), line + 8 * block)
            }
            for column in 8 * whole..<columns {
                let word = Words.load(source, row * words + whole)
                line[column] = UInt8(word >> UInt32(4 * (column - 8 * whole)) & 15)
            }
        }
    }

    private func unpackSignedBytes(
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt8>, _ count: Int
    ) throws(ApusError) {
        let middle = UInt8(1) << UInt8(bits - 1)
        var all: UInt8 = 0
        for index in 0..<count {
            let code = source.load(fromByteOffset: index, as: UInt8.self) &+ middle
            target[index] = code
            all |= code
        }
        guard bits == 8 || all >> UInt8(bits) == 0 else {
            throw ApusError(
                .invalidInput,
                "'\(codes.name)': expected codes in \(-(1 << (bits - 1)))...\((1 << (bits - 1)) - 1)")
        }
    }
}
