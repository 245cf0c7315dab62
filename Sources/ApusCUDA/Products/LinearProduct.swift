import ApusGraph

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

    /// What an algorithm is chosen for.
    var size: ProductSize { ProductSize(problem: problem, rows: m) }

    /// What an algorithm is timed for.
    var problem: ProductProblem {
        ProductProblem(
            element: element, result: result, n: n, k: k, hasBias: bias != nil, hasResidual: residual != nil)
    }
}

/// A product without its addresses.
struct ProductSize: Sendable, Hashable {
    let problem: ProductProblem
    let rows: Int
}

/// All that decides which algorithm multiplies fastest, but the number of rows: rows of all matrices lie side by side.
struct ProductProblem: Sendable, Hashable {
    let element: ElementType
    let result: ElementType
    let (n, k): (Int, Int)
    let hasBias: Bool
    let hasResidual: Bool

    /// The numbers of rows that algorithms are timed for; any other takes that of the next larger one.
    ///
    /// Between powers of two, tiles fill a GPU's processors differently.
    static let rowCounts = [
        1, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
    ]

    /// The number of ``rowCounts`` whose algorithm a product of so many rows takes.
    static func bucket(_ rows: Int) -> Int {
        rowCounts.first { $0 >= rows } ?? rowCounts[rowCounts.count - 1]
    }

    /// The name in an engine, as in `f16 → f32 n=1152 k=896 + bias, 512 rows`.
    func name(rows: Int) -> String {
        "\(element.rawValue) → \(result.rawValue) n=\(n) k=\(k)\(hasBias ? " + bias" : "")"
            + "\(hasResidual ? " + residual" : ""), \(rows) rows"
    }
}
