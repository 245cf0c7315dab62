/// A number of 16 bits with the exponent of a `Float` and 8 bits of precision.
public struct BFloat16: Sendable, Hashable {
    /// The 16 bits: sign, 8 bits of exponent, 7 of fraction.
    public var bits: UInt16

    /// The number with these bits.
    @inlinable public init(bits: UInt16) { self.bits = bits }

    /// The nearest number to `value`, ties to even; a NaN stays one.
    @inlinable public init(_ value: Float) {
        let pattern = value.bitPattern
        if pattern & 0x7FFF_FFFF > 0x7F80_0000 {
            bits = UInt16(truncatingIfNeeded: pattern >> 16) | 0x40
        } else {
            // The largest values carry into the exponent and become infinity, as rounding asks.
            bits = UInt16(truncatingIfNeeded: (pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) >> 16)
        }
    }

    /// The same number as a `Float`, exactly.
    @inlinable public var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}

/// An IEEE 754 number of 16 bits, converted by integer arithmetic.
///
/// Swift's `Float16` is missing on some platforms and converts through library calls on x86-64.
public struct Half: Sendable, Hashable {
    /// The 16 bits: sign, 5 bits of exponent, 10 of fraction.
    public var bits: UInt16

    /// The number with these bits.
    @inlinable public init(bits: UInt16) { self.bits = bits }

    /// The nearest number to `value`, ties to even; beyond 65 504 plus half a step it is infinite.
    @inlinable public init(_ value: Float) {
        let pattern = value.bitPattern
        let sign = UInt16(truncatingIfNeeded: pattern >> 16) & 0x8000
        let magnitude = pattern & 0x7FFF_FFFF
        if magnitude > 0x7F80_0000 {
            bits = sign | 0x7E00
        } else if magnitude >= 0x477F_F000 {
            bits = sign | 0x7C00
        } else if magnitude < 0x3880_0000 {
            // Below 2⁻¹⁴: beside 0.5 a float has steps of 2⁻²⁴, the spacing of subnormals, so the sum rounds.
            let sum = (Float(bitPattern: magnitude) + 0.5).bitPattern
            bits = sign | UInt16(truncatingIfNeeded: sum &- 0x3F00_0000)
        } else {
            let rounded = magnitude &+ 0xFFF &+ (magnitude >> 13 & 1)
            bits = sign | UInt16(truncatingIfNeeded: (rounded &- 0x3800_0000) >> 13)
        }
    }

    /// The same number as a `Float`, exactly.
    @inlinable public var float: Float {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7FFF) << 13
        if magnitude >= 0x0F80_0000 { return Float(bitPattern: sign | magnitude | 0x7F80_0000) }
        // The scale moves the exponent's bias and makes subnormals normal.
        return Float(bitPattern: sign | (Float(bitPattern: magnitude) * 0x1p112).bitPattern)
    }
}
