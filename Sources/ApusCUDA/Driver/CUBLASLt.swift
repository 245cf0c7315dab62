import ApusGraph
import ApusSupport
import CApusCUDA

/// NVIDIA's library of matrix products, with one handle for each device.
final class CUBLASLt: @unchecked Sendable {
    let functions: apus_blaslt
    /// Version as the library counts.
    let version: Int

    private init(loading: Void) throws(ApusError) {
        guard let handle = CUDALibraries.opened(.cublasLt).handle else {
            throw ApusError(.notFound, "cuBLASLt (libcublasLt.so.13 or .12) was not found")
        }
        var table = apus_blaslt()
        if let missing = apus_blaslt_load(handle, &table) {
            throw ApusError(.unsupported, "cuBLASLt is too old: it lacks \(String(cString: missing))")
        }
        functions = table
        version = table.version()
    }

    private static let loaded: Result<CUBLASLt, ApusError> = Result { () throws(ApusError) in
        try CUBLASLt(loading: ())
    }

    /// The library of this machine, loaded once.
    static func system() throws(ApusError) -> CUBLASLt { try loaded.get() }

    func check(_ status: Int32, _ doing: @autoclosure () -> String) throws(ApusError) {
        guard status != 0 else { return }
        let reason = functions.error_text(status).map { String(cString: $0) } ?? "status \(status)"
        throw ApusError(.internal, "cuBLASLt: \(doing()): \(reason)")
    }
}

/// A handle of cuBLASLt and its workspace on one device.
final class ProductLibrary: @unchecked Sendable {
    let library: CUBLASLt
    let handle: apus_blaslt_handle
    let workspace: CUDAMemory

    /// What NVIDIA advises for Hopper; smaller GPUs need less.
    private static let workspaceBytes = 32 << 20

    init(_ device: CUDADevice) throws(ApusError) {
        library = try CUBLASLt.system()
        try device.activate()
        var handle: apus_blaslt_handle?
        try library.check(library.functions.create(&handle), "making a handle")
        guard let handle else { throw ApusError(.internal, "cuBLASLt: no handle was made") }
        self.handle = handle
        workspace = try CUDAMemory(Self.workspaceBytes, purpose: "the workspace of products", on: device)
    }

    deinit { _ = library.functions.destroy(handle) }
}

/// y[m, n] = Σ x[m, k]·w[n, k] + bias[n] + residual[m, n], all row-major.
struct LinearProduct: Sendable {
    /// Type of x and w.
    let element: ElementType
    /// Type of y and of the residual.
    let result: ElementType
    let (m, n, k): (Int, Int, Int)
    nonisolated(unsafe) let x: UnsafeRawPointer
    nonisolated(unsafe) let w: UnsafeRawPointer
    nonisolated(unsafe) let y: UnsafeMutableRawPointer
    /// f32[n] or of the type of y.
    nonisolated(unsafe) let bias: UnsafeRawPointer?
    /// Of the type of y; may be y.
    nonisolated(unsafe) let residual: UnsafeRawPointer?
}

extension LinearProduct: CustomStringConvertible {
    /// As in `product f16 → f32 512×1152×896 + bias`.
    var description: String {
        "product \(element.rawValue) → \(result.rawValue) \(m)×\(n)×\(k)\(bias == nil ? "" : " + bias")"
            + (residual == nil ? "" : " + residual")
    }
}

/// A product whose algorithm is chosen.
final class PreparedProduct {
    let product: LinearProduct
    private let products: ProductLibrary
    private var desc: apus_blaslt_desc?
    private var layouts: [apus_blaslt_layout?] = []
    private var algorithm = apus_blaslt_algorithm()

    init(_ product: LinearProduct, _ products: ProductLibrary) throws(ApusError) {
        self.product = product
        self.products = products
        let (library, functions) = (products.library, products.library.functions)
        try library.check(
            functions.desc_create(&desc, Int32(APUS_BLASLT_COMPUTE_F32), Int32(APUS_BLASLT_F32)),
            "describing \(product)")
        // The library thinks in columns: yᵀ = op(wᵀ)·xᵀ, where a row-major w[n, k] is a matrix k × n to be transposed.
        var transposed: Int32 = 1
        try library.check(
            functions.desc_set(desc, Int32(APUS_BLASLT_DESC_TRANSA), &transposed, 4), "describing \(product)")
        if var bias = product.bias {
            var epilogue = Int32(APUS_BLASLT_EPILOGUE_BIAS)
            var type = Self.code(product.result)
            try library.check(
                functions.desc_set(desc, Int32(APUS_BLASLT_DESC_EPILOGUE), &epilogue, 4), "adding a bias")
            try library.check(
                functions.desc_set(desc, Int32(APUS_BLASLT_DESC_BIAS), &bias, 8), "adding a bias")
            try library.check(
                functions.desc_set(desc, Int32(APUS_BLASLT_DESC_BIAS_TYPE), &type, 4), "adding a bias")
        }
        let (m, n, k) = (product.m, product.n, product.k)
        for (element, rows, columns) in [
            (product.element, k, n), (product.element, k, m), (product.result, n, m), (product.result, n, m),
        ] {
            var layout: apus_blaslt_layout?
            try library.check(
                functions.layout_create(
                    &layout, Self.code(element), UInt64(rows), UInt64(columns), Int64(rows)),
                "describing \(product)")
            layouts.append(layout)
        }
        var preference: apus_blaslt_preference?
        try library.check(functions.preference_create(&preference), "choosing an algorithm")
        defer { _ = functions.preference_destroy(preference) }
        var bytes = products.workspace.byteCount
        try library.check(
            functions.preference_set(preference, Int32(APUS_BLASLT_PREFERENCE_WORKSPACE), &bytes, 8),
            "choosing an algorithm")
        var proposal = apus_blaslt_proposal()
        var count: Int32 = 0
        try library.check(
            functions.propose(
                products.handle, desc, layouts[0], layouts[1], layouts[2], layouts[3], preference, 1,
                &proposal, &count),
            "choosing an algorithm for \(product)")
        guard count > 0 else { throw ApusError(.unsupported, "cuBLASLt has no algorithm for \(product)") }
        algorithm = proposal.algorithm
    }

    private static func code(_ element: ElementType) -> Int32 {
        switch element {
        case .f16: Int32(APUS_BLASLT_F16)
        case .bf16: Int32(APUS_BLASLT_BF16)
        default: Int32(APUS_BLASLT_F32)
        }
    }

    deinit {
        for layout in layouts { _ = products.library.functions.layout_destroy(layout) }
        _ = products.library.functions.desc_destroy(desc)
    }

    /// Puts the product into a stream.
    func enqueue(_ stream: apus_cu_stream) throws(ApusError) {
        var alpha: Float = 1
        var beta: Float = product.residual == nil ? 0 : 1
        try products.library.check(
            products.library.functions.multiply(
                products.handle, desc, &alpha, product.w, layouts[0], product.x, layouts[1], &beta,
                product.residual ?? UnsafeRawPointer(product.y), layouts[2], product.y, layouts[3],
                &algorithm,
                products.workspace.base, products.workspace.byteCount, stream), "computing \(product)")
    }
}
