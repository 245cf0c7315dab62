import Testing

@testable import Apus

/// Activation-aware scales: where they go, that they leave the function as it is, and that they help.
@Suite struct ActivationScalingTests {
    private static let text: [UInt8] = (0..<1500).map { (index: Int) -> UInt8 in
        let square = index * index / 7
        return UInt8(32 + (square + index) % 90)
    }

    private struct Trial {
        let report: QuantizationReport
        let evaluation: Evaluation
    }

    /// Quantises the model, decodes the result into FP32, and compares it with what it came from.
    private static func run(
        _ model: SyntheticModel, calibration: [UInt8]?, head: WeightFormat? = nil
    ) throws -> Trial {
        let (source, output, decoded) = (try ScratchFolder(), try ScratchFolder(), try ScratchFolder())
        try model.write(to: source.path)
        let report = try Quantizer.quantize(
            folder: source.path, output: output.path,
            recipe: QuantizationRecipe(
                format: .int4(groupSize: 32), head: head, calibrationWindows: 2, calibrationContext: 48),
            calibration: calibration, threads: 2)
        try model.decoded(from: output.path).write(to: decoded.path)
        let options = LoadOptions(allLogits: true, threads: 2)
        let evaluation = try LanguageModel(folder: source.path, options: options).evaluate(
            utf8: Array(text.suffix(300)),
            comparedWith: LanguageModel(folder: decoded.path, options: options),
            options: EvaluationOptions(context: 150))
        return Trial(report: report, evaluation: evaluation)
    }

    @Test func strongChannelsAreSpared() throws {
        let model = try SyntheticModel(seed: 7)
        let plain = try Self.run(model, calibration: nil)
        let aware = try Self.run(model, calibration: Array(Self.text.prefix(1100)))
        #expect(aware.report.calibrationTokens == 96)
        for layer in aware.report.layers {
            let (before, after) = (try #require(layer.plainOutputError), try #require(layer.outputError))
            #expect(after <= before * 1.0001)
            // Those behind a norm read the strong channels.
            let readsNorm = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]
                .contains { layer.name.hasSuffix($0) }
            if readsNorm {
                #expect(after * 3 < before, "\(layer.name): \(before) → \(after)")
                #expect(layer.alpha != nil)
            }
        }
        let (worse, better) = (
            try #require(plain.evaluation.divergence), try #require(aware.evaluation.divergence)
        )
        #expect(better.mean * 2 < worse.mean, "\(worse.mean) → \(better.mean)")
    }

    @Test func sitesAreFoundByTheirPattern() throws {
        let folder = try ScratchFolder()
        try SyntheticModel(seed: 3).write(to: folder.path)
        let linears = try LinearLayers(Importer.importCheckpoint(folder: folder.path))
        let sites = ScalingSite.find(linears)
        let names = linears.modules.map { $0.name.split(separator: ".").last.map(String.init) ?? "" }
        #expect(sites.count == 5)
        for (position, site) in sites.prefix(4).enumerated() {
            let layers = site.layers.map { names[$0] }
            switch (position, site.absorber) {
            case (0, .norm("model.layers.0.input_layernorm.weight", nil)?):
                #expect(layers == ["q_proj", "k_proj", "v_proj"])
            case (1, .features(let layer)?):
                #expect(layers == ["o_proj"] && names[layer] == "v_proj")
                // Heads 0 and 1 read the first key-value head, 2 and 3 the second.
                #expect(site.channels[0] == 0 && site.channels[17] == 1 && site.channels[32] == 16)
            case (2, .norm("model.layers.0.post_attention_layernorm.weight", nil)?):
                #expect(layers == ["gate_proj", "up_proj"])
            case (3, .features(let layer)?):
                #expect(layers == ["down_proj"] && names[layer] == "up_proj")
            default: Issue.record("site \(position) of \(layers): \(String(describing: site.absorber))")
            }
        }
        #expect(sites.last?.absorber == .norm(weight: "model.norm.weight", bias: nil))
    }

    /// Factors of any size change no number but by rounding: rounded to 8 bits, the folded model is the model.
    @Test(arguments: ["llama-biases", "qwen2", "qwen3", "llama3-tied"])
    func foldingLeavesTheFunctionAsItIs(name: String) throws {
        let model = try Importer.importCheckpoint(folder: "\(QuantizerTests.fixtures)/\(name)")
        let linears = try LinearLayers(model)
        var weights = ScaledWeights(model.weights)
        var folded = 0
        for (index, site) in ScalingSite.find(linears).enumerated() where site.absorber != nil {
            guard !site.layers.contains(where: { linears.modules[$0].isTied }) else { continue }
            let raw = site.channels.map { Float(1 + ($0 * 7 + index) % 5) / 2 }
            let search = ActivationScaling(
                linears: linears, site: site, statistics: ActivationStatistics(width: site.channels.count),
                quantizers: [], threads: 1)
            search.fold(
                ActivationScaling.Choice(factors: raw, alpha: 1, plainErrors: [], errors: []), into: &weights)
            folded += 1
        }
        #expect(folded >= 4 * model.info.layerCount)
        var scaled = model
        scaled.weights = FoldedWeights(weights)
        let options = LoadOptions(precision: .f32, allLogits: true, threads: 2)
        let ids = (0..<40).map { Int32(($0 * 31 + 7) % model.info.vocabularySize) }
        let divergence = try #require(
            try LanguageModel(model, options: options)
                .evaluate(ids, comparedWith: LanguageModel(scaled, options: options)).divergence)
        #expect(divergence.maximum < 1e-5 && divergence.sameTopShare == 1)
    }
}

/// The weights with the factors that were folded into them, in FP32.
private struct FoldedWeights: WeightSource {
    let weights: ScaledWeights

    init(_ weights: ScaledWeights) { self.weights = weights }

    func type(of name: String) -> TensorType? {
        weights.source.type(of: name).map { TensorType(.f32, $0.shape) }
    }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let shape = weights.source.type(of: name)?.constantShape, let width = shape.last else {
            throw ApusError(.notFound, name)
        }
        let rows = shape.dropLast().reduce(1, *)
        let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: rows * width)
        defer { memory.deallocate() }
        try weights.withRows(of: name) { read throws(ApusError) in
            for row in 0..<rows {
                if let base = memory.baseAddress { read(row, base + row * width) }
            }
        }
        try body(UnsafeRawBufferPointer(memory))
    }
}
