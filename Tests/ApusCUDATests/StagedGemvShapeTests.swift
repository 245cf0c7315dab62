import ApusCPU
import ApusEngine
import ApusGraph
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// How matrices are staged in shared memory, for all sizes that may come.
@Suite struct StagedGemvShapeTests {
    private static let matrices: [GemvShape.Matrix] = {
        var matrices: [GemvShape.Matrix] = []
        for n in [1, 40, 131, 896, 1152, 4864, 8192, 18944] {
            for k in [8, 64, 896, 1024, 4864, 8192, 18944, 40000] {
                for (elementBytes, parts) in [(2, 1), (2, 2), (4, 1), (4, 2)] {
                    for hasNorm in [false, true] {
                        matrices.append(
                            .init(
                                n: n, k: k, elementBytes: elementBytes, parts: parts, rows: 1, isHead: false,
                                hasNorm: hasNorm))
                    }
                }
            }
        }
        return matrices
    }()

    /// What the kernel's assertions and the driver demand.
    @Test(arguments: CUDAArchitecture.all.filter { $0.major >= 9 })
    func shapesFitTheArchitecture(architecture: CUDAArchitecture) throws {
        for matrix in Self.matrices {
            guard
                let shape = StagedGemvShape(
                    matrix, processors: architecture.nominalProcessorCount,
                    sharedBytes: architecture.sharedBytesPerBlock)
            else { continue }
            let message: Comment = "\(matrix): \(shape.macros), \(shape.sharedBytes) B"
            func macro(_ name: String) throws -> Int { try #require(Int(shape.macros[name] ?? "")) }
            let (rowThreads, tileRows) = (try macro("ROW_THREADS"), try macro("TILE_ROWS"))
            let (slots, blocks) = (try macro("SLOTS"), try macro("BLOCKS"))
            #expect(rowThreads % 32 == 0 && shape.threads % rowThreads == 0, message)
            #expect([1, 2, 4].contains(tileRows), message)
            #expect((1...matrix.n).contains(shape.grid), message)
            #expect(shape.sharedBytes * blocks <= architecture.sharedBytesPerBlock, message)
            let features = (matrix.n + shape.grid - 1) / shape.grid
            let tile = tileRows * shape.threads / rowThreads
            let isWhole = slots * tile >= features
            #expect(isWhole || slots >= 2, message)
            let staged = (isWhole ? features : slots * tile) * matrix.parts * matrix.k * matrix.elementBytes
            #expect(staged < shape.sharedBytes, message)
        }
    }

    /// What was measured: small models' matrices are staged as a whole, gated ones by one block of 512 threads.
    @Test func smallMatricesAreStagedAsAWhole() throws {
        func shape(_ n: Int, _ k: Int, parts: Int = 1, hasNorm: Bool = false) throws -> StagedGemvShape {
            try #require(
                StagedGemvShape(
                    .init(
                        n: n, k: k, elementBytes: 2, parts: parts, rows: 1, isHead: false, hasNorm: hasNorm),
                    processors: 132, sharedBytes: 227 << 10))
        }
        let gated = try shape(4864, 896, parts: 2, hasNorm: true)
        #expect((gated.threads, gated.grid) == (512, 132))
        #expect(gated.sharedBytes > 37 * 2 * 896 * 2)
        let first = try shape(1152, 896, hasNorm: true)
        #expect((first.threads, first.grid) == (256, 264))
        let down = try shape(896, 4864)
        #expect((down.threads, down.grid) == (256, 132))
        #expect(down.macros["ROW_THREADS"] == "128")
    }

    @Test func otherMatricesAreNotStaged() {
        func isStaged(k: Int, rows: Int = 1, isHead: Bool = false) -> Bool {
            StagedGemvShape(
                .init(n: 896, k: k, elementBytes: 2, parts: 1, rows: rows, isHead: isHead, hasNorm: false),
                processors: 132, sharedBytes: 227 << 10) != nil
        }
        #expect(isStaged(k: 896))
        #expect(!isStaged(k: 900))
        #expect(!isStaged(k: 896, rows: 2))
        #expect(!isStaged(k: 896, isHead: true))
        #expect(!isStaged(k: 100_000))
    }

    /// Which kernels the layers launch that `GPUCheck` compares with the interpreter.
    @Test func layersOfOneTokenAreStaged() throws {
        let backend = CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
        for test in GraphCase.tokenLayers {
            let graph = try Graph(parsing: test.text)
            try graph.verify()
            let engine = try Compiler.compile(asItStands: graph, weights: NoWeights(), backend: backend)
            let run = try CUDAPlanRun(
                engine, limits: SessionLimits(batch: 4, chunk: 160, capacity: 640), on: backend)
            let units = try run.units(batch: 1, width: 1)
            let staged = units.filter { $0.source == "gemv_staged" }
            let isOdd = test.name.contains(" of 70 ")
            #expect(staged.isEmpty == isOdd, "\(test.name): \(units.map(\.id).sorted())")
            let isLarge = test.name.contains(" of 2304 ")
            #expect(isOdd || staged.contains { $0.macros["GATED"] == "1" }, "\(test.name)")
            #expect(!isLarge || staged.contains { $0.macros["SLOTS"] != "1" }, "\(test.name)")
        }
    }
}
