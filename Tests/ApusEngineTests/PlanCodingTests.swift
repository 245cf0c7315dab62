import ApusGraph
import ApusSupport
import Testing

@testable import ApusEngine

@Suite struct PlanCodingTests {
    /// Everything a plan can hold, with the values that are easiest to lose.
    private static let plan = Plan(
        symbols: [Symbol("B", 0...Int.max), Symbol("S", 1...64), Symbol("P", 0...63, .input("start_idx"))],
        tensors: [
            Plan.Tensor(name: "w \"quoted\"\n", type: TensorType(.f16, [3, 4]), storage: .weight(0)),
            Plan.Tensor(
                name: "ids", type: TensorType(.i64, [.symbol("B"), .symbol("S") * 2 - 3]),
                storage: .input("input_ids")
            ),
            Plan.Tensor(name: "é", type: TensorType(.f32, [Dimension]()), storage: .activation),
            Plan.Tensor(name: "", type: TensorType(.bf16, [0]), storage: .alias(2)),
        ],
        steps: [
            Plan.Step(
                op: "op", kernel: "cpu.op", operands: [0, nil, 1], results: [2],
                attributes: [
                    "bool": false, "int": .int(.min), "size": .dimension(.symbol("P") + .symbol("S")),
                    "float": .float(-0.0),
                    "tiny": .float(.leastNonzeroMagnitude),
                    "nan": .float(Double(bitPattern: 0xFFF8_0000_0000_0123)), "inf": .float(-.infinity),
                    "third": .float(1.0 / 3), "whole": .float(1e22), "string": "a\\\t\u{1F426}",
                    "dimensions": .dimensions([.symbol("B") * .symbol("S") + 1, 7, -1]),
                    "none": .dimensions([]),
                    "floats": .floats([]), "more": .floats([1, .nan, 0.1]), "element": .element(.u8),
                    "literal": .literal(TensorLiteral(TensorType(.f32, [2]), [.infinity, 3.25])),
                ])
        ], outputs: [("logits", 2), ("other", 3)])
    private static let regions = [
        WeightStore.Region(name: "w", type: TensorType(.f16, [3, 4]), offset: 4096, byteCount: 24)
    ]

    @Test func aPlanReadsBackAsItWas() throws {
        let text = try PlanCoding.json(Self.plan, Self.regions, PluginRegistry()).text()
        let back = try PlanCoding.read(JSON.parse(Array(text.utf8), source: "plan"), PluginRegistry())
        // Not equatable, and NaN is not equal to itself: the dumps show every bit.
        func dumped(_ plan: Plan) -> String {
            var text = ""
            let steps = plan.steps.map { step in
                step.attributes.mapValues(Self.bits).sorted { $0.key < $1.key }
            }
            dump(plan.symbols, to: &text)
            dump(plan.tensors.map { [$0.name, "\($0.type)", "\($0.storage)"] }, to: &text)
            dump(plan.steps.map { "\($0.op) \($0.kernel) \($0.operands) \($0.results)" }, to: &text)
            dump(steps, to: &text)
            dump(plan.outputs, to: &text)
            return text
        }
        #expect(dumped(back.plan) == dumped(Self.plan))
        #expect(back.regions == Self.regions)
        #expect(try PlanCoding.json(back.plan, back.regions, PluginRegistry()).text() == text)
    }

    /// The attribute with its numbers as bits.
    private static func bits(_ attribute: Attribute) -> String {
        switch attribute {
        case .float(let value): "float \(value.bitPattern)"
        case .floats(let list): "floats \(list.map(\.bitPattern))"
        case .literal(let literal): "literal \(literal.type) \(literal.values.map(\.bitPattern))"
        default: "\(attribute)"
        }
    }

    /// A new stored property must be written and read, or engines silently lose it.
    @Test func everyPropertyIsKnown() {
        func labels(_ value: Any) -> [String] { Mirror(reflecting: value).children.compactMap(\.label) }
        #expect(labels(Self.plan) == ["symbols", "tensors", "steps", "outputs"])
        #expect(labels(Self.plan.symbols[0]) == ["name", "range", "definition"])
        #expect(labels(Self.plan.tensors[0]) == ["name", "type", "storage", "layout", "packing"])
        #expect(labels(Self.plan.tensors[0].type) == ["element", "shape"])
        #expect(
            labels(Self.plan.steps[0]) == ["op", "kernel", "operands", "results", "attributes", "plugin"])
        #expect(labels(Self.regions[0]) == ["name", "type", "offset", "byteCount", "packing"])
        let info = ModelInfo(
            modelType: "", vocabularySize: 1, maxPositions: 1, layerCount: 1, precision: .f32)
        #expect(
            labels(info) == [
                "modelType", "vocabularySize", "maxPositions", "layerCount", "precision", "endTokens",
                "beginToken",
            ])
        #expect(
            labels(GenerationDefaults()) == [
                "endTokens", "beginToken", "padToken", "doSample", "temperature", "topK", "topP", "minP",
                "repetitionPenalty",
            ])
        #expect(
            labels(EngineOrigin()) == [
                "device", "weightLayout", "attention", "cache", "report", "importHash", "sources",
            ])
    }

    @Test func theManifestReadsBackAsItWas() throws {
        var generation = GenerationDefaults()
        (generation.endTokens, generation.beginToken, generation.padToken) = ([1, 2], 3, 4)
        (generation.doSample, generation.temperature, generation.topK) = (true, 0.1 + 0.2, 5)
        (generation.topP, generation.minP, generation.repetitionPenalty) = (1.0 / 3, 0, 1.1)
        let engine = Engine(
            info: ModelInfo(
                modelType: "m\u{0}", vocabularySize: 7, maxPositions: 8, layerCount: 9, precision: .bf16,
                endTokens: [6],
                beginToken: 5), plan: Plan(symbols: [], tensors: [], steps: [], outputs: []),
            weights: try WeightStore([]), precision: .f16,
            origin: EngineOrigin(
                device: "cpu", weightLayout: 3, attention: "plugin", cache: "in_place", report: ["a", "b"],
                importHash: .max))
        for defaults in [generation, GenerationDefaults()] {
            let manifest = EngineManifest(engine, generation: defaults)
            let header = try EngineFileHeader(device: "cpu", weightLayout: 3, sections: [])
            let json = try JSON.parse(Array(manifest.json.text().utf8), source: "info")
            #expect(try EngineManifest(json, header: header) == manifest)
        }
    }

    @Test(arguments: [
        ("{}", "plan: symbols: expected a value, got none"),
        (
            #"{"symbols": ["B in 2...1"], "weights": [], "tensors": [], "steps": [], "outputs": []}"#,
            "symbols:1: empty range 2...1 of symbol 'B'"
        ),
        (
            #"{"symbols": [], "weights": [], "tensors": [{"name": "x", "type": "f32[2", "storage": {"alias": 0}}]}"#,
            "plan: tensors[0].type:1: expected ']', got end of file"
        ),
        (
            #"{"symbols": [], "weights": [], "tensors": [{"name": "x", "type": "f32[2]", "storage": {"file": 0}}]}"#,
            "plan: tensors[0].storage: expected weight, input, activation or alias"
        ),
    ])
    func whatIsMissingIsNamed(text: String, message: String) throws {
        let json = try JSON.parse(Array(text.utf8), source: "plan")
        let error = #expect(throws: ApusError.self) { try PlanCoding.read(json, PluginRegistry()) }
        #expect(error?.description.hasPrefix(message) == true, "\(error.map(\.description) ?? "")")
    }
}
