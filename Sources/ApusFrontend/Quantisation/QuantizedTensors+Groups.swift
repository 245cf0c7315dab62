import ApusGraph
import ApusSupport

extension QuantizedTensors {
    /// Takes zero points apart: from a tensor's bytes to u8[G, N].
    func unpackZeroPoints(
        _ source: UnsafeRawPointer, to target: UnsafeMutablePointer<UInt8>, rows: Int, groups: Int
    ) throws(ApusError) {
        guard let zeroPoints else { return }
        let perWord = 32 / bits
        let words = (rows + perWord - 1) / perWord
        let mask = UInt32(1) << UInt32(bits) - 1
        switch zeroPoints.layout {
        case .wordsOfRows(let lessOne):
            // Added to the whole word, which undoes what the tools subtract from it, a borrow of a zero included.
            let one: UInt32 = lessOne ? (bits == 4 ? 0x1111_1111 : 0x0101_0101) : 0
            for group in 0..<groups {
                for row in 0..<rows {
                    let word = Words.load(source, group * words + row / perWord) &+ one
                    target[group * rows + row] = UInt8(word >> UInt32(bits * (row % perWord)) & mask)
                }
            }
        case .interleavedRows:
            for group in 0..<groups {
                for block in 0..<words {
                    Words.store(
                        Words.spreadInterleaved(Words.load(source, group * words + block)),
                        target + (group * rows + 8 * block))
                }
            }
        case .packedRows:
            for row in 0..<rows {
                for group in 0..<groups {
                    let word = Words.load(source, row / perWord * groups + group)
                    target[group * rows + row] = UInt8(word >> UInt32(bits * (row % perWord)) & mask)
                }
            }
        case .signedBytes:
            let middle = UInt8(1) << UInt8(bits - 1)
            for row in 0..<rows {
                for group in 0..<groups {
                    let zero = source.load(fromByteOffset: row * groups + group, as: UInt8.self) &+ middle
                    guard zero & ~UInt8(truncatingIfNeeded: mask) == 0 else {
                        throw ApusError(
                            .invalidInput,
                            "'\(zeroPoints.name)' [\(row), \(group)]: expected a number of \(bits) bits, got "
                                + "\(Int(zero) - Int(middle))")
                    }
                    target[group * rows + row] = zero
                }
            }
        }
    }

    /// The element type of unpacked scales.
    func scaleType(stored: ElementType) -> ElementType {
        // Dividing by 127 needs the precision of a float.
        if case .rowMaxima = scales.layout { .f32 } else { stored }
    }

    /// Puts scales in order: from a tensor's bytes to [G, N] of ``scaleType(stored:)``.
    /// - Throws: `.invalidInput` for a scale that is not finite.
    func unpackScales(
        _ source: UnsafeRawPointer, _ element: ElementType, to target: UnsafeMutableRawPointer, rows: Int,
        groups: Int
    ) throws(ApusError) {
        switch (scales.layout, element) {
        case (.rowMaxima, _):
            let result = target.assumingMemoryBound(to: Float.self)
            for row in 0..<rows {
                let maximum = Self.float(source, element, row)
                guard maximum.isFinite else { throw notFinite(row, 0, maximum) }
                result[row] = maximum * (1 / 127)
            }
        case (.groupsFirst, .f32), (.rowsFirst, .f32):
            try copy(source, element, target.assumingMemoryBound(to: UInt32.self), rows, groups, 0x7F80_0000)
        case (.groupsFirst, _), (.rowsFirst, _):
            try copy(
                source, element, target.assumingMemoryBound(to: UInt16.self), rows, groups,
                element == .f16 ? 0x7C00 : 0x7F80)
        }
    }

    /// Copies scales, transposing them where rows come first; an exponent of ones alone is none of a number.
    private func copy<Bits: FixedWidthInteger & UnsignedInteger>(
        _ source: UnsafeRawPointer, _ element: ElementType, _ target: UnsafeMutablePointer<Bits>, _ rows: Int,
        _ groups: Int, _ exponent: Bits
    ) throws(ApusError) {
        let size = MemoryLayout<Bits>.size
        var (rowStride, groupStride) = (1, rows)
        if case .rowsFirst = scales.layout { (rowStride, groupStride) = (groups, 1) }
        for group in 0..<groups {
            for row in 0..<rows {
                let place = row * rowStride + group * groupStride
                let bits = source.loadUnaligned(fromByteOffset: place * size, as: Bits.self)
                guard Bits(littleEndian: bits) & exponent != exponent else {
                    throw notFinite(row, group, Self.float(source, element, place))
                }
                target[group * rows + row] = bits
            }
        }
    }

    private func notFinite(_ row: Int, _ group: Int, _ value: Float) -> ApusError {
        ApusError(
            .invalidInput,
            "'\(scales.name)': the scale of row \(row), group \(group) is \(value.isNaN ? "NaN" : "\(value)"); expected finite scales; the file "
                + "may be damaged")
    }

    private static func float(_ source: UnsafeRawPointer, _ element: ElementType, _ index: Int) -> Float {
        switch element {
        case .f16:
            Half(bits: UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
                .float
        case .bf16:
            BFloat16(
                bits: UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
            ).float
        default:
            Float(
                bitPattern: UInt32(
                    littleEndian: source.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
        }
    }
}
