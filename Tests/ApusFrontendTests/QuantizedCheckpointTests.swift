import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

/// Checkpoints that public tools packed: Tools/make_quantised_fixtures.py.
@Suite struct QuantizedCheckpointTests {
    static let names = [
        "awq-int4", "bnb-int8", "ct-int4", "ct-int4-ordered", "ct-int8", "ct-int8-packed", "gptq-beside",
        "gptq-int4", "gptq-int8",
    ]
    static let folder = "\(Fixtures.folder)/quantised"

    /// CRC-32 as zlib has it.
    private static func crc32(_ values: [Float]) -> String {
        var crc: UInt32 = 0xFFFF_FFFF
        for value in values {
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                crc ^= value.bitPattern >> shift & 0xFF
                for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
            }
        }
        let text = String(~crc, radix: 16)
        return String(repeating: "0", count: 8 - text.count) + text
    }

    private static func ints(_ model: ImportedModel, _ name: String) throws -> [Int] {
        var result: [Int] = []
        let element = try #require(model.weights.type(of: name)?.element)
        try model.weights.withBytes(of: name) { bytes in
            result =
                element == .i64
                ? (0..<bytes.count / 8).map {
                    Int(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self))
                }
                : bytes.map { Int($0) }
        }
        return result
    }

    private static func floats(_ model: ImportedModel, _ name: String) throws -> [Float] {
        var result: [Float] = []
        let element = try #require(model.weights.type(of: name)?.element)
        try model.weights.withBytes(of: name) { bytes in
            result = (0..<bytes.count / element.byteCount).map { index in
                switch element {
                case .f16: Half(bits: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)).float
                case .bf16:
                    BFloat16(bits: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)).float
                default: bytes.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
                }
            }
        }
        return result
    }

    /// The weight [N, K] with its columns in the order of the model.
    private static func dequantized(_ model: ImportedModel, _ module: String, _ bits: Int) throws -> [Float] {
        let parts = module + ".weight."
        let shape = try #require(model.weights.type(of: parts + "codes")?.constantShape)
        let (codes, scales) = (try ints(model, parts + "codes"), try floats(model, parts + "scales"))
        let zeros =
            model.weights.type(of: parts + "zero_points") == nil
            ? nil : try ints(model, parts + "zero_points")
        let order =
            model.weights.type(of: parts + "order") == nil
            ? Array(0..<shape[1]) : try ints(model, parts + "order")
        let size = shape[1] * shape[0] / scales.count
        var result = [Float](repeating: 0, count: shape[0] * shape[1])
        for row in 0..<shape[0] {
            for (place, column) in order.enumerated() {
                let group = place / size * shape[0] + row
                let code = codes[row * shape[1] + place] - (zeros?[group] ?? 1 << (bits - 1))
                result[row * shape[1] + column] = Float(code) * scales[group]
            }
        }
        return result
    }

    @Test(arguments: names) func everyWeightIsExactlyWhatTheToolDequantizes(name: String) throws {
        let model = try Importer.importCheckpoint(folder: "\(Self.folder)/\(name)")
        let cases = try JSON.parse(contentsOfFile: "\(Self.folder)/\(name)/cases.json")
        let expected = try #require(cases["weights"]).members.map { ($0.key, $0.value.string) }
        #expect(expected.count >= 6)
        let producers = model.graph.producers()
        let nodes = model.graph.nodes.filter { $0.op == "dequantize" }
        #expect(nodes.count == expected.count)
        for (module, checksum) in expected {
            let node = try #require(
                nodes.first {
                    let codes = model.graph.nodes[producers[$0.operands[0]!.index]]
                    return codes.attributes["name"] == .string(module + ".weight.codes")
                }, "\(module)")
            guard case .int(let bits)? = node.attributes["bits"] else { continue }
            #expect(Self.crc32(try Self.dequantized(model, module, bits)) == checksum, "\(module)")
        }
    }

    @Test(arguments: names) func logitsAreThoseOfTransformersWithTheDequantizedWeights(name: String) throws {
        let model = try Importer.importCheckpoint(folder: "\(Self.folder)/\(name)")
        #expect(model.graph.diagnostics().isEmpty)
        let interpreter = try Interpreter(graph: model.graph, weights: model.weights)
        let cases = try JSON.parse(contentsOfFile: "\(Self.folder)/\(name)/cases.json")
        let entry = try #require(cases["cases"]?[1])
        let prompt = try #require(entry["prompt"]).elements.compactMap(\.int)
        let tokens = try #require(entry["tokens"]).elements.compactMap(\.int)
        let spread = Float(try #require(entry["spread"]?.double))
        let ids = prompt + tokens.dropLast()
        let logits = try interpreter.run([
            "input_ids": Tensor(.i64, [1, ids.count], ints: ids),
            "position_ids": Tensor(.i64, [1, ids.count], ints: Array(ids.indices)),
        ])[0]
        let file = try #require(entry["logits"]?.string)
        let (shape, expected) = try Fixtures.matrix("\(Self.folder)/\(name)/\(file)")
        let got = Array(logits.floats.suffix(expected.count))
        let worst = zip(got, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
        #expect(worst / spread < 2e-5)
        for (row, token) in tokens.enumerated() {
            let line = got[row * shape[1]..<(row + 1) * shape[1]]
            #expect(line.indices.max { line[$0] < line[$1] } == line.startIndex + token, "step \(row)")
        }
    }

    @Test func layersOfOneOrderShareTheirGather() throws {
        let model = try Importer.importCheckpoint(folder: "\(Self.folder)/gptq-int4")
        // Layer 0: q, k and v; o; gate and up; down. Layer 1's v has an order of its own.
        #expect(model.graph.nodes.filter { $0.op == "index_select" }.count == 4 + 5)
        // Symmetric files store zero points that say nothing.
        #expect(model.graph.nodes.allSatisfy { $0.op != "dequantize" || $0.operands.count == 2 })
        let plain = try Importer.importCheckpoint(folder: "\(Self.folder)/gptq-int8")
        #expect(!plain.graph.nodes.contains { $0.op == "index_select" })
    }
}
