import ApusGraph
import ApusReference
import ApusSupport
import Testing

@testable import ApusFrontend

/// A program that calls each operator in the forms that language models use, against PyTorch.
@Suite struct OperatorTests {
    static let folder = "\(ProgramFixture.root)/operators"

    @Test(arguments: [1, 5, 12])
    func resultsEqualPyTorch(length: Int) throws {
        let archive = try TorchArchive(path: "\(Self.folder)/raw.pt2")
        let program = try ExportedProgram(archive.program)
        let graph = try ProgramImport(archive: archive, program: program, converters: .standard).run(
            name: "operators"
        ).graph
        let interpreter = try Interpreter(graph: graph, weights: ArchiveWeights(archive: archive))
        let x = try Fixtures.matrix("\(Self.folder)/len\(length).x.npy").values
        let i = try Fixtures.matrix("\(Self.folder)/len\(length).i.npy").values
        let outputs = try interpreter.run([
            "x": Tensor(.f32, [1, length, 6], floats: x),
            "i": Tensor(.i64, [1, length], ints: i.map { Int($0) }),
        ])
        var expected = try Fixtures.matrix("\(Self.folder)/len\(length).npy").values[...]
        for (index, output) in outputs.enumerated() {
            let got = output.element.isFloat ? output.floats : output.ints.map { Float($0) }
            let wanted = expected.prefix(got.count)
            expected = expected.dropFirst(got.count)
            // Results in half types may differ by a rounding of a neighbouring operator.
            let limit: Float = output.element == .bf16 ? 1e-2 : output.element == .f16 ? 2e-3 : 2e-5
            let same = zip(got, wanted).allSatisfy { a, b in
                a == b || (a.isNaN && b.isNaN) || abs(a - b) <= limit * max(1, abs(b))
            }
            let name = graph.name(of: graph.outputs[index]) ?? "\(index)"
            #expect(
                same && wanted.count == got.count,
                "\(name): \(output), got \(got.prefix(12)), expected \(wanted.prefix(12))")
        }
        #expect(expected.isEmpty && outputs.count >= 200)
    }
}
