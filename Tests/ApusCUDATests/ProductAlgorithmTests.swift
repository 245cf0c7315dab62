import Apus
import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA
import Testing

@testable import ApusCUDA

/// Which of an engine's algorithms products take; timing itself needs a GPU.
@Suite struct ProductAlgorithmTests {
    private static let problem = ProductProblem(
        element: .f16, result: .f32, n: 1152, k: 896, hasBias: true, hasResidual: false)

    private func product(
        rows: Int, element: ElementType = .f16, n: Int = 1152, hasResidual: Bool = false
    ) throws -> LinearProduct {
        let memory = try #require(UnsafeMutableRawPointer(bitPattern: 4096))
        return LinearProduct(
            element: element, result: .f32, m: rows, n: n, k: 896, x: memory, w: memory, y: memory,
            bias: memory, residual: hasResidual ? UnsafeRawPointer(memory) : nil)
    }

    /// An algorithm that can be told from others.
    private func algorithm(_ number: Int) -> apus_blaslt_algorithm {
        var algorithm = apus_blaslt_algorithm()
        algorithm.words.0 = UInt64(number)
        algorithm.words.7 = .max
        return algorithm
    }

    private func store(rows: [Int]) -> KernelStore {
        var algorithms = ProductAlgorithms(gpu: "NVIDIA H200", library: "cuBLASLt 13.1.0")
        for count in rows { algorithms.add(algorithm(count).bytes, for: Self.problem.name(rows: count)) }
        var store = KernelStore()
        store.add(algorithms, for: "sm_90a")
        return store
    }

    private func found(
        _ store: KernelStore, gpu: String = "NVIDIA H200", _ architecture: CUDAArchitecture = .hopper,
        library: String = "cuBLASLt 13.1.0"
    ) -> StoredAlgorithms? {
        StoredAlgorithms(store, gpu: gpu, architecture: architecture, library: library)
    }

    @Test func productsTakeTheAlgorithmOfTheNextLargerNumberOfRows() throws {
        let counts = ProductProblem.rowCounts
        #expect(counts == counts.sorted() && Set(counts).count == counts.count)
        let stored = try #require(found(store(rows: counts)))
        for rows in Array(1...600) + [1023, 1024, 1025, 4096, 4097, 131_072] {
            let taken = try #require(stored.algorithm(for: try product(rows: rows)))
            #expect(Int(taken.words.0) == counts.filter { $0 >= rows }.min() ?? counts[counts.count - 1])
        }
    }

    @Test func whatWasNotTimedIsNotFound() throws {
        let stored = try #require(found(store(rows: [64])))
        #expect(stored.algorithm(for: try product(rows: 64)) != nil)
        #expect(stored.algorithm(for: try product(rows: 65)) == nil)
        #expect(stored.algorithm(for: try product(rows: 64, element: .bf16)) == nil)
        #expect(stored.algorithm(for: try product(rows: 64, n: 1153)) == nil)
        #expect(stored.algorithm(for: try product(rows: 64, hasResidual: true)) == nil)
    }

    @Test func algorithmsOfAnotherGPUOrLibraryAreNotUsed() {
        let store = store(rows: [64])
        #expect(found(store, gpu: "NVIDIA H100 80GB HBM3") == nil)
        #expect(found(store, CUDAArchitecture(major: 10, minor: 0)) == nil)
        #expect(found(store, library: "cuBLASLt 13.0.2") == nil)
        #expect(found(KernelStore()) == nil)
    }

    @Test func algorithmsKeepTheirBits() throws {
        let algorithm = algorithm(7)
        #expect(algorithm.bytes.count == ProductAlgorithms.algorithmBytes)
        let again = try #require(apus_blaslt_algorithm(bytes: algorithm.bytes))
        #expect(again.words.0 == 7 && again.words.7 == .max)
        #expect(apus_blaslt_algorithm(bytes: [1, 2]) == nil)
    }

    /// Each product once: those of all tokens for many numbers of rows, that of the last tokens for few.
    @Test func problemsAreThoseOfThePrompt() throws {
        let (_, plan) = try LaunchGoldenTests.plan(LaunchGoldenTests.cases[0])
        let problems = try CUDABackend.problems(of: plan, .standard, .hopper)
        #expect(Set(problems.map(\.problem)).count == problems.count)
        #expect(
            Set(problems.map { "\($0.problem.n)×\($0.problem.k)" }) == [
                "768×256", "256×512", "1024×256", "1000×256",
            ])
        for (problem, rows) in problems {
            // Behind its attention the last layer goes on with the last tokens alone.
            #expect(rows.first == (problem.n == 768 ? 8 : 1) && rows.last == (problem.n == 1000 ? 64 : 4096))
        }
    }

    /// Without a GPU nothing is timed, and nothing stored.
    @Test func planningBackendsStoreNoAlgorithms() throws {
        let (backend, plan) = try LaunchGoldenTests.plan(LaunchGoldenTests.cases[0])
        #expect(try backend.timeProducts(of: plan, .standard) == nil)
    }

    /// What a device holds comes back as it was.
    @Test func weightsArriveInParts() throws {
        let device = CUDADevice(imitating: .hopper)
        let buffer = try HugeBuffer(byteCount: 5 * WeightUpload.partBytes + 12_345, purpose: "a test")
        for place in stride(from: 0, to: buffer.byteCount, by: 7) {
            buffer.base.storeBytes(of: UInt8(place % 251), toByteOffset: place, as: UInt8.self)
        }
        let weights = try WeightUpload.send(buffer, to: device)
        let copy = try HugeBuffer(byteCount: buffer.byteCount, purpose: "a test")
        try weights.copy(to: copy)
        #expect(
            UnsafeRawBufferPointer(start: copy.base, count: copy.byteCount)
                .elementsEqual(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount)))
    }

    @Test func machinesAreToldApart() throws {
        #expect(try CUDADevice.identity(0, driver: .null) == "null device sm_90a")
        #expect(throws: ApusError.self) { try CUDADevice.identity(1, driver: .null) }
    }

    @Test func whatFailsInTheBackgroundFailsWhereItIsAskedFor() throws {
        let failing = Background<Int> { () throws(ApusError) in throw ApusError(.notFound, "nothing") }
        for _ in 0..<2 { #expect(throws: ApusError.self) { try failing.get() } }
        #expect(try Background { 7 }.get() == 7)
    }
}
