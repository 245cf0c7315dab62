import ApusGraph
import ApusSupport
import CApusCUDA

/// A product as cuBLASLt is told of it, with any algorithm.
final class ProductSetup {
    let product: LinearProduct
    private let products: ProductLibrary
    private var desc: apus_blaslt_desc?
    private var layouts: [apus_blaslt_layout?] = []

    private var functions: apus_blaslt { products.library.functions }

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
    }

    deinit {
        for layout in layouts { _ = functions.layout_destroy(layout) }
        _ = functions.desc_destroy(desc)
    }

    private static func code(_ element: ElementType) -> Int32 {
        switch element {
        case .f16: Int32(APUS_BLASLT_F16)
        case .bf16: Int32(APUS_BLASLT_BF16)
        default: Int32(APUS_BLASLT_F32)
        }
    }

    /// The library's proposals that run within the workspace, the best first.
    /// - Throws: `.unsupported` if there is none.
    func proposals(_ most: Int) throws(ApusError) -> [apus_blaslt_algorithm] {
        var preference: apus_blaslt_preference?
        try products.library.check(functions.preference_create(&preference), "choosing an algorithm")
        defer { _ = functions.preference_destroy(preference) }
        var bytes = products.workspace.byteCount
        try products.library.check(
            functions.preference_set(preference, Int32(APUS_BLASLT_PREFERENCE_WORKSPACE), &bytes, 8),
            "choosing an algorithm")
        var proposals = [apus_blaslt_proposal](repeating: apus_blaslt_proposal(), count: most)
        var count: Int32 = 0
        try products.library.check(
            functions.propose(
                products.handle, desc, layouts[0], layouts[1], layouts[2], layouts[3], preference,
                Int32(most),
                &proposals, &count),
            "choosing an algorithm for \(product)")
        let good = proposals.prefix(Int(count)).filter {
            $0.status == 0 && $0.workspace_bytes <= products.workspace.byteCount
        }
        guard !good.isEmpty else {
            throw ApusError(.unsupported, "cuBLASLt has no algorithm for \(product)")
        }
        return good.map(\.algorithm)
    }

    /// Whether an algorithm computes the product, within the workspace.
    func accepts(_ algorithm: apus_blaslt_algorithm) -> Bool {
        var (algorithm, result) = (algorithm, apus_blaslt_proposal())
        let status = functions.check(
            products.handle, desc, layouts[0], layouts[1], layouts[2], layouts[3], &algorithm, &result)
        return status == 0 && result.status == 0 && result.workspace_bytes <= products.workspace.byteCount
    }

    /// Puts the product into a stream.
    /// - Parameter w: Other weights in place of the product's.
    func enqueue(
        _ algorithm: inout apus_blaslt_algorithm, w: UnsafeRawPointer? = nil, _ stream: apus_cu_stream
    ) throws(ApusError) {
        var alpha: Float = 1
        var beta: Float = product.residual == nil ? 0 : 1
        try products.library.check(
            functions.multiply(
                products.handle, desc, &alpha, w ?? product.w, layouts[0], product.x, layouts[1], &beta,
                product.residual ?? UnsafeRawPointer(product.y), layouts[2], product.y, layouts[3],
                &algorithm,
                products.workspace.base, products.workspace.byteCount, stream), "computing \(product)")
    }
}

/// A product whose algorithm is chosen.
final class PreparedProduct {
    private let setup: ProductSetup
    private var algorithm: apus_blaslt_algorithm

    init(
        _ product: LinearProduct, _ products: ProductLibrary, _ algorithm: apus_blaslt_algorithm
    ) throws(ApusError) {
        setup = try ProductSetup(product, products)
        self.algorithm = algorithm
    }

    /// Puts the product into a stream.
    func enqueue(_ stream: apus_cu_stream) throws(ApusError) { try setup.enqueue(&algorithm, stream) }
}
