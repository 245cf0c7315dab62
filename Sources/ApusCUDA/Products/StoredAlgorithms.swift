import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA
import Dispatch
import Synchronization

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

extension ProductLibrary {
    /// The algorithm for each size among products: that which the engine brings, or else what the library proposes first.
    ///
    /// Several are asked for at a time, since the library loads a kernel where it is asked for one that it has not used.
    /// - Parameter stored: The engine's algorithms; nil if it has none for this GPU and library.
    /// - Throws: `.unsupported` for a product that the library does not compute.
    func choose(
        _ products: [LinearProduct], stored: StoredAlgorithms?
    ) throws(ApusError) -> [ProductSize: apus_blaslt_algorithm] {
        let sizes = Dictionary(products.map { ($0.size, $0) }, uniquingKeysWith: { first, _ in first })
        let list = Array(sizes.values)
        let found = Mutex<[ProductSize: Result<apus_blaslt_algorithm, ApusError>]>([:])
        DispatchQueue.concurrentPerform(iterations: list.count) { index in
            let algorithm = Result { () throws(ApusError) in try self.choose(list[index], stored) }
            found.withLock { $0[list[index].size] = algorithm }
        }
        var algorithms: [ProductSize: apus_blaslt_algorithm] = [:]
        for (size, algorithm) in found.withLock({ $0 }) { algorithms[size] = try algorithm.get() }
        return algorithms
    }

    private func choose(
        _ product: LinearProduct, _ stored: StoredAlgorithms?
    ) throws(ApusError) -> apus_blaslt_algorithm {
        try workspace.device.activate()
        let setup = try ProductSetup(product, self)
        if let known = stored?.algorithm(for: product), setup.accepts(known) { return known }
        return try setup.proposals(1)[0]
    }

    /// Has the library do what it does when it is first asked for an algorithm.
    ///
    /// What fails here fails again where it is needed, and is told there.
    func warmUp() {
        let memory = workspace.base
        let product = LinearProduct(
            element: .f16, result: .f16, m: 64, n: 64, k: 64, x: memory, w: memory, y: memory, bias: nil,
            residual: nil)
        guard let setup = try? ProductSetup(product, self), let first = try? setup.proposals(1).first else {
            return
        }
        _ = setup.accepts(first)
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
