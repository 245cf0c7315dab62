import Apus
import CAllocationCounter

/// One exact figure of a model under a setting.
struct Figure {
    let name: String
    let value: Int

    /// All figures, measured now.
    /// - Parameter root: Folder of the repository.
    static func all(root: String) throws -> [Figure] {
        var figures: [Figure] = []
        for (backend, cache) in [
            (BackendKind.plugin, nil), (.iattention, CacheKind.staticV1), (.sdpa, .staticV2),
        ] {
            let options = LoadOptions(backend: backend, cache: cache, threads: 2)
            let model = try LanguageModel(folder: "\(root)/Models/demo", options: options)
            figures += try decode(model, "demo \(backend.rawValue)\(cache.map { "/\($0.rawValue)" } ?? "")")
        }
        for shape in ["qwen2.5-0.5b", "llama-3.2-1b"] {
            let model = try Importer.importConfig(
                path: "\(root)/Benchmarks/configs/\(shape).json", element: .f16)
            let lowered = try Compiler.lower(model.graph, info: model.info, plugins: .standard)
            let plan = try Compiler.dryRun(lowered, plugins: .standard, backend: CPUBackend(threads: 1))
            figures.append(Figure(name: "\(shape): steps of a pass", value: plan.steps.count))
            let limits = SessionLimits(batch: 1, chunk: 512, capacity: 2048)
            let buffers = try BufferPlan(plan, limits: limits)
            figures.append(
                Figure(name: "\(shape): bytes of activations, 512 new tokens", value: buffers.byteCount))
        }
        return figures
    }

    /// What decoding a token takes: allocations, steps, bytes.
    private static func decode(_ model: LanguageModel, _ name: String) throws -> [Figure] {
        let executor = try model.makeExecutor(SessionLimits(batch: 1, chunk: 16, capacity: 128))
        var figures: [Figure] = []
        if apus_allocations_are_counted() == 1 {
            let numbers = UnsafeMutableBufferPointer<Int32>.allocate(capacity: 3)
            defer { numbers.deallocate() }
            // The first pass takes sizes, the second the other buffers of copied caches.
            for position in 0..<4 { try forward(executor, position, numbers) }
            let before = apus_allocation_count()
            for position in 4..<36 { try forward(executor, position, numbers) }
            let count = Int(apus_allocation_count() - before)
            figures.append(Figure(name: "\(name): allocations of 32 decoded tokens", value: count))
        }
        if let engine = model.engine {
            figures.append(Figure(name: "\(name): steps of a pass", value: engine.plan.steps.count))
            figures.append(
                Figure(
                    name: "\(name): bytes read for a token at depth 100",
                    value: engine.bytesPerDecodeStep(batch: 1, depth: 100)))
        }
        return figures
    }

    /// Feeds one token behind `position` others; `numbers` has room for the token and two counts.
    private static func forward(
        _ executor: any Executor, _ position: Int, _ numbers: UnsafeMutableBufferPointer<Int32>
    ) throws(ApusError) {
        (numbers[0], numbers[1], numbers[2]) = (5, 1, Int32(position))
        let all = UnsafeBufferPointer(numbers)
        _ = try executor.forward(
            tokens: UnsafeBufferPointer(rebasing: all[0..<1]), batch: 1, width: 1,
            newCounts: UnsafeBufferPointer(rebasing: all[1..<2]),
            cachedCounts: UnsafeBufferPointer(rebasing: all[2..<3]))
    }
}
