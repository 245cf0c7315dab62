import Apus
import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusRuntime
import ApusSupport
import CAllocationCounter
import Testing

/// The exact figure that a decode loop is held to: no heap allocation per token.
@Suite(.serialized) struct AllocationTests {
    @Test func allocationsAreCounted() {
        guard apus_allocations_are_counted() == 1 else { return }
        let before = apus_allocation_count()
        let array = [Int](repeating: 1, count: Int.random(in: 5...6))
        #expect(apus_allocation_count() > before)
        #expect(array.count > 4)
    }

    /// Counted on the calling thread, which is worker 0 and runs the code that every worker runs.
    @Test(arguments: ["llama3-bf16-sharded", "gpt2", "qwen3"])
    func aForwardPassOverOneTokenAllocatesNothing(name: String) throws {
        let folder = "\(Self.fixtures)/\(name)"
        let backend = try CPUBackend(threads: 2)
        let model = try Importer.importCheckpoint(folder: folder)
        let engine = try Compiler.compile(
            model.graph, weights: model.weights, info: model.info, backend: backend)
        let executor = try backend.makeExecutor(
            engine, limits: SessionLimits(batch: 2, chunk: 16, capacity: 128))
        var tokens: [Int32] = [1, 2]
        let counts: [Int32] = [1, 1]
        var cached: [Int32] = [0, 0]
        for step in 0..<16 {
            let before = apus_allocation_count()
            try tokens.withUnsafeBufferPointer { tokens in
                try counts.withUnsafeBufferPointer { counts in
                    try cached.withUnsafeBufferPointer { cached in
                        _ = try executor.forward(
                            tokens: tokens, batch: 2, width: 1, newCounts: counts, cachedCounts: cached)
                    }
                }
            }
            let allocations = apus_allocation_count() - before
            // The first step takes the sizes of the batch, as every change of shape does.
            if step > 0 { #expect(allocations == 0, "step \(step)") }
            cached = cached.map { $0 + 1 }
            tokens = [3, 4]
        }
    }

    private static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast(2).joined(separator: "/") + "/Fixtures"
}
