import Testing

@testable import ApusCUDA

/// How products with packed codes are dealt out, for all sizes that may come.
@Suite struct QuantizedShapeTests {
    private static let features = [16, 40, 768, 4096, 28672, 128_256]
    private static let inputs = [37, 96, 896, 1024, 3584, 4096, 14336, 18944, 28672]
    /// 0 stands for all inputs.
    private static let groups = [0, 8, 16, 24, 32, 64, 128, 192, 256]

    private static let matrices: [QuantizedGemvShape.Matrix] = {
        var matrices: [QuantizedGemvShape.Matrix] = []
        for n in features {
            for k in inputs {
                for group in groups where group == 0 || k % group == 0 {
                    for (bits, parts) in [(4, 1), (4, 2), (8, 1), (8, 2)] {
                        for rows in [1, 2, 4, 8] {
                            matrices.append(
                                .init(
                                    n: n, k: k, bits: bits, group: group == 0 ? k : group, rows: rows,
                                    parts: parts, scaleBytes: 4, hasZeros: true))
                        }
                    }
                }
            }
        }
        return matrices
    }()

    @Test(arguments: CUDAArchitecture.all)
    func fewRowsFitIntoTheSharedMemoryOfEveryArchitecture(architecture: CUDAArchitecture) throws {
        for matrix in Self.matrices {
            let shape = QuantizedGemvShape(matrix, architecture: architecture)
            let message: Comment = "\(matrix): \(shape.macros), \(shape.sharedBytes) B"
            #expect(shape.sharedBytes <= architecture.sharedBytesPerBlock, message)
            #expect((1...(matrix.n + 15) / 16).contains(shape.grid), message)
            #expect(try #require(Int(shape.macros["DEPTH"] ?? "")) >= 1, message)
            #expect(try #require(Int(shape.macros["MEET"] ?? "")) >= 1, message)
            #expect(try #require(Int(shape.macros["X_UNITS"] ?? "")) >= 0, message)
        }
    }

    /// What the matrices of Llama-3.1-8B were measured with.
    @Test func matricesThatWereMeasuredKeepTheirShapes() {
        func shape(_ n: Int, _ k: Int, parts: Int = 1, rows: Int = 1) -> QuantizedGemvShape {
            QuantizedGemvShape(
                .init(
                    n: n, k: k, bits: 4, group: 128, rows: rows, parts: parts, scaleBytes: 4,
                    hasZeros: false),
                architecture: .hopper)
        }
        func macros(
            _ threads: Int, unit: Int = 128, depth: Int, meet: Int, units: Int
        ) -> [String: String] {
            [
                "THREADS": "\(threads)", "GRID": "132", "UNIT": "\(unit)", "DEPTH": "\(depth)",
                "MEET": "\(meet)",
                "X_UNITS": "\(units)", "BLOCKS": "1",
            ]
        }
        #expect(shape(6144, 4096).macros == macros(512, depth: 2, meet: 3, units: 0))
        #expect(shape(14336, 4096, parts: 2).macros == macros(512, depth: 3, meet: 7, units: 0))
        #expect(shape(4096, 14336).macros == macros(512, unit: 256, depth: 3, meet: 2, units: 0))
        #expect(shape(4096, 14336, rows: 2).macros == macros(256, unit: 256, depth: 3, meet: 2, units: 28))
        #expect(shape(14336, 4096, parts: 2, rows: 8).macros == macros(256, depth: 3, meet: 7, units: 16))
        #expect(shape(4096, 14336, rows: 8).macros == macros(256, depth: 6, meet: 2, units: 16))
        #expect(shape(4096, 14336).sharedBytes == 196_416)
    }
}
