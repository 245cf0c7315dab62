import ApusEngine
import ApusGraph
import ApusSupport

extension CUDABackend {
    /// What decides, beside the plan, what an engine carries that is compiled on a GPU: the GPU and its library of products.
    public static func buildMachine(device ordinal: Int) -> String {
        // Starting the driver and opening the library each take a while.
        let library = Background { () throws(ApusError) in try CUBLASLt.system().name }
        let gpu = try? CUDADevice.identity(ordinal, driver: try CUDADriver.system())
        return "\(gpu ?? "no GPU"), \((try? library.get()) ?? "no cuBLASLt")"
    }

    /// Times the products that passes over prompts of a plan have, for numbers of rows up to ``promptChunk``.
    /// - Returns: The fastest algorithms; nil where nothing can be timed, without the GPU or without cuBLASLt.
    func timeProducts(of plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> ProductAlgorithms? {
        let device = runtime.device
        guard !device.driver.isNull, runtime.hasProducts, architectures.contains(device.architecture) else {
            return nil
        }
        return try PhaseTimes.measure("timing products") { () throws(ApusError) in
            try timed(try Self.problems(of: plan, plugins, device.architecture))
        }
    }

    private func timed(
        _ problems: [(problem: ProductProblem, rows: [Int])]
    ) throws(ApusError) -> ProductAlgorithms {
        let (device, products) = (runtime.device, try runtime.products())
        var algorithms = ProductAlgorithms(gpu: device.name, library: products.library.name)
        let timer = try ProductTimer(device, products)
        for (problem, rows) in problems {
            do throws(ApusError) {
                for (rows, algorithm) in try timer.fastest(problem, rows: rows) {
                    algorithms.add(algorithm.bytes, for: problem.name(rows: rows))
                }
            } catch {
                // A GPU that has no room for the operands now leaves the choice to the library, as one without timing.
                guard error.code == .outOfMemory else { throw error }
            }
        }
        return algorithms
    }

    /// The products of passes over prompts, each once, with the numbers of rows that they may have.
    static func problems(
        of plan: Plan, _ plugins: PluginRegistry, _ architecture: CUDAArchitecture
    ) throws(ApusError) -> [(problem: ProductProblem, rows: [Int])] {
        // Rows that follow the tokens are many here, those that follow the sequences few.
        let (batch, width) = (plan.hasSymbolicBatch ? 2 : 1, 256)
        let outline = try outline(of: plan, plugins, architecture, batch: batch, width: width)
        var rows: [ProductProblem: [Int]] = [:]
        var order: [ProductProblem] = []
        for product in outline.products {
            if rows[product.problem] == nil { order.append(product.problem) }
            // Of a few tokens, each a sequence, decode steps have kernels of their own.
            let counts = ProductProblem.rowCounts.filter { count in
                product.m > batch ? count > 1 : count <= (batch > 1 ? mostSequences : 1)
            }
            rows[product.problem] = Set(rows[product.problem] ?? []).union(counts).sorted()
        }
        return order.map { ($0, rows[$0] ?? []) }
    }

    /// The most sequences for which the product of their last tokens is timed.
    private static let mostSequences = 64
}
