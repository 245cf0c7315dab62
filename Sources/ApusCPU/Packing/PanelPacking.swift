import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Panels of 16 output features, a lane each: how kernels read the floating-point weights of matrix products.
///
/// `apus_panels.h` draws the layout. Embedding tables are packed so too: one that is also the output head is stored once.
struct PanelPacking: WeightPacking {
    let name = "panels"

    func byteCount(of type: TensorType) -> Int? {
        guard type.element.isFloat, type.rank == 2, let shape = type.constantShape,
            let dtype = try? LaunchContext.dtype(type.element), shape.allSatisfy({ $0 >= 0 })
        else { return nil }
        return apus_panel_bytes(Int32(dtype.rawValue), shape[0], shape[1])
    }

    func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let bytes = byteCount(of: type), let shape = type.constantShape, destination.count == bytes,
            source.count == shape.reduce(type.element.byteCount, *)
        else {
            throw ApusError(
                .mismatch,
                "packing '\(name)': expected a floating-point matrix and room for its panels, got \(type), "
                    + "\(source.count) bytes and room for \(destination.count)")
        }
        guard let rows = source.baseAddress, let panels = destination.baseAddress else { return }
        let dtype = Int32(try LaunchContext.dtype(type.element).rawValue)
        apus_pack_panels(dtype, rows, shape[1], shape[0], shape[1], 0, shape[0], panels)
    }
}
