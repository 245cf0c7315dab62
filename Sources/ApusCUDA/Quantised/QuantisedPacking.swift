import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// Codes u8[N, K] in the order in which tensor cores take them; `quantized.cuh` describes it.
struct TileCodes: WeightPacking {
    /// Bits of a code: 4 or 8.
    let bits: Int
    /// Inputs that share a scale.
    let group: Int

    var name: String { "codes\(bits).tile16.group\(group)" }

    func byteCount(of type: TensorType) -> Int? {
        guard type.element == .u8, let shape = type.constantShape, shape.count == 2, group > 0,
            shape[1] % group == 0
        else { return nil }
        return apus_cuda_code_bytes(shape[0], shape[1], group, Int32(bits))
    }

    func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let shape = type.constantShape, let codes = source.baseAddress,
            let tiles = destination.baseAddress
        else { return }
        let isFitting = apus_cuda_pack_codes(
            codes.assumingMemoryBound(to: UInt8.self), shape[0], shape[1], group, Int32(bits), tiles)
        guard isFitting != 0 else {
            throw ApusError(.invalidInput, "codes \(type): expected codes of \(bits) bits, got a larger one")
        }
    }
}

/// Scales or zero points [G, N] beside the codes of 16 features: [N / 16 rounded up, G, 8, 2].
struct TileGroups: WeightPacking {
    var name: String { "groups.tile16" }

    func byteCount(of type: TensorType) -> Int? {
        guard let shape = type.constantShape, shape.count == 2 else { return nil }
        return apus_cuda_group_bytes(shape[0], shape[1], type.element.byteCount)
    }

    func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let shape = type.constantShape, let rows = source.baseAddress,
            let tiles = destination.baseAddress
        else { return }
        apus_cuda_pack_groups(rows, type.element.byteCount, shape[0], shape[1], tiles)
    }
}
