public import ApusEngine
public import ApusGraph
public import ApusSupport
import CApusCPU

/// Codes u8[N, K] in panels of 16 output features, as the kernels of quantised weights read them.
///
/// 4-bit codes lie two to a byte; N is padded to a multiple of 16, K to whole words of 4 bytes.
public struct CodePanels: WeightPacking {
    /// Bits of a code: 4 or 8.
    public let bits: Int

    /// Packs codes of 4 or 8 bits.
    public init(bits: Int) { self.bits = bits }

    /// `codes4.panel16` or `codes8.panel16`.
    public var name: String { "codes\(bits).panel16" }

    /// The bytes of codes u8[N, K]; nil for another type.
    public func byteCount(of type: TensorType) -> Int? {
        guard type.element == .u8, let shape = type.constantShape, shape.count == 2 else { return nil }
        return apus_packed_codes_bytes(shape[0], shape[1], Int32(bits))
    }

    /// Packs codes.
    /// - Throws: `.invalidInput` for a code that needs more bits.
    public func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let shape = type.constantShape, let codes = source.baseAddress,
            let panels = destination.baseAddress
        else { return }
        let isFitting = apus_pack_codes(
            codes.assumingMemoryBound(to: UInt8.self), shape[0], shape[1], Int32(bits), panels)
        guard isFitting != 0 else {
            throw ApusError(.invalidInput, "codes \(type): expected codes of \(bits) bits, got a larger one")
        }
    }
}

/// Scales or zero points [G, N] in panels of 16 output features: [N / 16 rounded up, G, 16].
public struct GroupPanels: WeightPacking {
    /// Packs scales and zero points.
    public init() {}

    /// `groups.panel16`.
    public var name: String { "groups.panel16" }

    /// The bytes of a [G, N]; nil for another rank.
    public func byteCount(of type: TensorType) -> Int? {
        guard let shape = type.constantShape, shape.count == 2 else { return nil }
        return (shape[1] + 15) / 16 * 16 * shape[0] * type.element.byteCount
    }

    /// Packs scales or zero points.
    /// - Throws: `.invalidInput` for a scale that is infinite or NaN.
    public func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let shape = type.constantShape, let rows = source.baseAddress,
            let panels = destination.baseAddress
        else { return }
        if let place = Self.firstNonFinite(source, type.element) {
            throw ApusError(
                .invalidInput,
                "scales \(type): expected finite numbers, got an infinity or NaN at group \(place / shape[1]), feature "
                    + "\(place % shape[1])")
        }
        apus_pack_groups(rows, type.element.byteCount, shape[0], shape[1], panels)
    }

    /// The first floating-point number whose exponent is all ones.
    private static func firstNonFinite(_ bytes: UnsafeRawBufferPointer, _ element: ElementType) -> Int? {
        switch element {
        case .f32:
            (0..<bytes.count / 4).first {
                bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) & 0x7f80_0000 == 0x7f80_0000
            }
        case .f16, .bf16:
            (0..<bytes.count / 2).first {
                let mask: UInt16 = element == .f16 ? 0x7c00 : 0x7f80
                return bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self) & mask == mask
            }
        default: nil
        }
    }
}
