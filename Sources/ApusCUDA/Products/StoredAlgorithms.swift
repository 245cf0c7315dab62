import ApusEngine
import CApusCUDA

/// The algorithms that an engine brings for the GPU and the library that are there.
struct StoredAlgorithms {
    private let algorithms: ProductAlgorithms

    /// - Returns: Nil if the engine has none that were timed on such a GPU with this version of the library.
    init?(_ kernels: KernelStore, gpu: String, architecture: CUDAArchitecture, library: String) {
        guard let algorithms = kernels.products[architecture.description], algorithms.gpu == gpu,
            algorithms.library == library
        else { return nil }
        self.algorithms = algorithms
    }

    /// The algorithm of the rows' bucket; nil if it was not timed.
    func algorithm(for product: LinearProduct) -> apus_blaslt_algorithm? {
        let name = product.problem.name(rows: ProductProblem.bucket(product.m))
        return algorithms.choices[name].flatMap { apus_blaslt_algorithm(bytes: $0) }
    }
}

extension apus_blaslt_algorithm {
    /// Reads ``bytes``; nil for another number of them.
    init?(bytes: [UInt8]) {
        guard bytes.count == MemoryLayout<Self>.size else { return nil }
        self = bytes.withUnsafeBytes { $0.loadUnaligned(as: Self.self) }
    }

    /// The structure as it lies in memory, which NVIDIA documents as fit to be stored for the same version of the library.
    var bytes: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }
}
