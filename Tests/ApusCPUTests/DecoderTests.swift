import ApusEngine
import ApusFrontend
import ApusGraph
import ApusPasses
import ApusReference
import ApusSupport
import GraphCases
import Testing

@testable import ApusCPU

/// Whole decoders whose attention is no plugin, against the interpreter: a prompt, a chunk, a token.
@Suite struct DecoderTests {
    struct Form: CustomTestStringConvertible, Sendable {
        let backend: BackendKind
        let cache: CacheKind
        var alias = true
        var type = ElementType.f32

        var testDescription: String { "\(backend) \(cache) \(alias ? "in place" : "copied") \(type)" }
    }

    static let forms = [
        Form(backend: .sdpa, cache: .none), Form(backend: .iattention, cache: .none),
        Form(backend: .sdpa, cache: .staticV1), Form(backend: .sdpa, cache: .staticV2, alias: false),
        Form(backend: .iattention, cache: .staticV1, alias: false, type: .bf16),
        Form(backend: .iattention, cache: .staticV2, type: .f16),
    ]

    private static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        + "/Fixtures"

    @Test(arguments: ["llama3-tied", "gpt2", "qwen3"], forms)
    func agreesWithTheInterpreter(name: String, form: Form) throws {
        let model = try Importer.importCheckpoint(folder: "\(Self.fixtures)/\(name)")
        let options = PipelineOptions(
            precision: form.type, kvCache: form.type, backend: form.backend, cache: form.cache,
            aliasKVCache: form.alias)
        let graph = try PassManager().run(model.graph, Pipeline.standard(options)).graph
        let interpreter = try Interpreter(graph: graph, weights: model.weights)
        let limits = SessionLimits(batch: 2, chunk: 16, capacity: 32)
        let run = try GraphRun(graph, weights: model.weights, threads: 2, limits: limits)
        var caches: [String: Tensor] = [:]
        for range in form.cache == .none ? [0..<1, 0..<11] : [0..<7, 7..<11, 11..<12] {
            let inputs = try Self.inputs(graph, range, caches, limits)
            for (name, tensor) in inputs { try run.set(name, tensor) }
            let expected = try interpreter.run(inputs)
            let got = try run.run(batch: 2, width: range.count)
            // What is kept in a half type may be rounded the other way.
            let tolerance = form.type == .f32 ? 1e-5 : form.type == .f16 ? 2e-3 : 1.6e-2
            for (index, pair) in zip(expected, got).enumerated() {
                let error = GraphCase.difference(pair.0, pair.1)
                #expect(error <= tolerance, "tokens \(range), output \(index)")
            }
            let names = graph.inputs.compactMap { graph.name(of: $0) }.filter { $0.contains("_cache_") }
            for (name, tensor) in zip(names, expected.dropFirst()) { caches[name] = tensor }
        }
    }

    private static func inputs(
        _ graph: Graph, _ range: Range<Int>, _ caches: [String: Tensor], _ limits: SessionLimits
    ) throws -> [String: Tensor] {
        let sizes = ["B": 2, "S": range.count, "C": limits.capacity]
        var inputs: [String: Tensor] = [:]
        for value in graph.inputs {
            let name = graph.name(of: value) ?? ""
            let type = graph.type(of: value)
            let shape = try type.shape.map { try #require($0.evaluate { sizes[$0] }) }
            let count = shape.reduce(1, *)
            if let cache = caches[name] {
                inputs[name] = cache
                continue
            }
            let width = max(shape.last ?? 1, 1)
            let ints = (0..<count).map { place -> Int in
                switch name {
                case "input_ids": (range.lowerBound + place % width) * 7 % 19 + place / width
                case "position_ids": range.lowerBound + place % width
                case "last_token_ids": range.count - 1
                case "start_idx": range.lowerBound
                case "end_idx": range.upperBound
                default: 0
                }
            }
            // Rows that no token was written to hold nothing that may be read: NaN shows if it is.
            inputs[name] =
                type.element.isFloat
                ? Tensor(type.element, shape, floats: [Float](repeating: .nan, count: count))
                : Tensor(type.element, shape, ints: ints)
        }
        return inputs
    }
}
