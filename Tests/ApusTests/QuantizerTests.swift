import Testing

@testable import Apus

/// Quantised checkpoints against the bytes that compressed-tensors makes (`Tests/Fixtures/packed`), and refusals.
@Suite struct QuantizerTests {
    static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
        .joined(separator: "/") + "/Fixtures"

    private static func bytes(_ checkpoint: Checkpoint, _ name: String) throws -> [UInt8] {
        var result: [UInt8] = []
        try checkpoint.withBytes(of: name) { result = Array($0) }
        return result
    }

    private static func message(_ body: () throws -> QuantizationReport) -> String {
        do { return "no error: \(try body().layers.count) layers" } catch { return "\(error)" }
    }

    @Test(arguments: ["symmetric", "zero-points"], [1 << 30, 20_000])
    func bytesAreThoseOfCompressedTensors(name: String, shardBytes: Int) throws {
        let output = try ScratchFolder()
        let isSymmetric = name == "symmetric"
        let format = WeightFormat.int4(groupSize: 32, isSymmetric: isSymmetric)
        let report = try Quantizer.quantize(
            folder: "\(Self.fixtures)/packed/\(name)/plain", output: output.path,
            recipe: QuantizationRecipe(
                format: format, head: isSymmetric ? .int8 : format, shardBytes: shardBytes), threads: 3)
        let expected = try Checkpoint(folder: "\(Self.fixtures)/packed/\(name)/packed")
        let written = try Checkpoint(folder: output.path)
        #expect(written.names == expected.names)
        for name in expected.names {
            #expect(written.storedType(of: name) == expected.storedType(of: name))
            #expect(try Self.bytes(written, name) == Self.bytes(expected, name), "\(name)")
        }
        #expect(report.layers.count == 8)
        #expect(report.layers.allSatisfy { $0.weightError == 0 && $0.outputError == nil })
        #expect((report.fileCount > 1) == (shardBytes < 1 << 20))
        #expect(
            OutputFile.exists("\(output.path)/model.safetensors.index.json") == (report.fileCount > 1))
    }

    @Test func configNamesGroupsAndHead() throws {
        let (source, output) = (try ScratchFolder(), try ScratchFolder())
        var model = try SyntheticModel(seed: 2)
        model.isTied = true
        try model.write(to: source.path)
        _ = try Quantizer.quantize(
            folder: source.path, output: output.path,
            recipe: QuantizationRecipe(format: .int4(groupSize: 64), fitsGroups: true), threads: 1)
        let config = try JSON.parse(contentsOfFile: "\(output.path)/config.json")
        #expect(config["tie_word_embeddings"]?.bool == false)
        #expect(config["hidden_size"]?.int == 64)
        let quantization = try #require(config["quantization_config"])
        #expect(quantization["quant_method"]?.string == "compressed-tensors")
        #expect(quantization["format"]?.string == "pack-quantized")
        let groups = try #require(quantization["config_groups"])
        #expect(groups["group_0"]?["targets"]?[0]?.string == "Linear")
        #expect(groups["group_0"]?["weights"]?["group_size"]?.int == 64)
        // Inputs of the MLP's last layer are no multiple of 64.
        let names = groups["group_1"]?["targets"]?.elements.map { $0.string }
        #expect(names == ["model.layers.0.mlp.down_proj"])
        #expect(groups["group_1"]?["weights"]?["group_size"]?.int == 32)
        #expect(groups["group_2"]?["targets"]?[0]?.string == "lm_head")
        #expect(groups["group_2"]?["weights"]?["num_bits"]?.int == 8)
        #expect(groups["group_2"]?["weights"]?["strategy"]?.string == "channel")
        let written = try Checkpoint(folder: output.path)
        #expect(written.storedType(of: "lm_head.weight_packed") == "I32[256, 16]")
        let original = try Checkpoint(folder: source.path)
        let table = "model.embed_tokens.weight"
        #expect(try Self.bytes(written, table) == Self.bytes(original, table))
        #expect(OutputFile.exists("\(output.path)/tokenizer.json"))

        let again = Self.message {
            try Quantizer.quantize(folder: source.path, output: output.path)
        }
        #expect(again.contains("expected no or an empty folder"))
        let twice = Self.message {
            try Quantizer.quantize(folder: output.path, output: output.path + "-2")
        }
        #expect(twice.contains("is quantised already (compressed-tensors)"))
    }

    @Test func aHeadLeftAsItIsStaysTied() throws {
        let output = try ScratchFolder()
        let report = try Quantizer.quantize(
            folder: "\(Self.fixtures)/llama3-tied", output: output.path,
            recipe: QuantizationRecipe(format: .int8, head: nil))
        let config = try JSON.parse(contentsOfFile: "\(output.path)/config.json")
        #expect(config["tie_word_embeddings"]?.bool == true)
        #expect(config["quantization_config"]?["ignore"]?[0]?.string == "lm_head")
        #expect(report.layers.allSatisfy { $0.format == .int8 && $0.weightError < 2e-4 })
        #expect(try Checkpoint(folder: output.path).names.allSatisfy { !$0.hasPrefix("lm_head") })
    }

    @Test func wrongRequestsAreRefused() throws {
        let output = try ScratchFolder()
        let target = output.path + "/out"
        func message(
            _ name: String, _ recipe: QuantizationRecipe = QuantizationRecipe(),
            calibration: [UInt8]? = nil
        ) -> String {
            Self.message {
                try Quantizer.quantize(
                    folder: "\(Self.fixtures)/\(name)", output: target, recipe: recipe,
                    calibration: calibration)
            }
        }
        #expect(
            message("llama3-tied").contains(
                "'model.layers.0.self_attn.q_proj': expected a multiple of the group size 128 as the number of inputs, "
                    + "got 64; choose group size 64"))
        let int4 = QuantizationRecipe(format: .int4(groupSize: 32), fitsGroups: true)
        #expect(
            message("llama2", int4).contains("no group size of 128, 64 and 32 divides it; choose format int8")
        )
        for format in [
            WeightFormat(bits: 3), WeightFormat(bits: 4), .int4(groupSize: 48),
            WeightFormat(bits: 8, groupSize: 32), WeightFormat(bits: 8, isSymmetric: false),
        ] {
            let refusal = message("llama3-tied", QuantizationRecipe(format: format))
            #expect(refusal.hasPrefix("format: ") || refusal.hasPrefix("group size: "), "\(refusal)")
        }
        #expect(message("gpt2", QuantizationRecipe(format: .int8)).contains("another layout of"))
        #expect(message("nowhere").contains("expected the folder of a checkpoint, got nothing"))
        #expect(message("llama3-tied", int4, calibration: []).contains("tokenizer.json"))
        #expect(!OutputFile.exists(target), "what is refused leaves nothing behind")
    }

    @Test func damagedWeightsAndEmptyCalibrationAreRefused() throws {
        let folder = try ScratchFolder()
        var model = try SyntheticModel(seed: 1)
        model.tensors["model.layers.0.mlp.up_proj.weight"]?[70] = .nan
        try model.write(to: folder.path)
        let output = folder.path + "/out"
        let recipe = QuantizationRecipe(format: .int4(groupSize: 32))
        let damaged = Self.message {
            try Quantizer.quantize(folder: folder.path, output: output, recipe: recipe, threads: 2)
        }
        #expect(damaged.contains("'model.layers.0.mlp.up_proj.weight': expected finite numbers"))
        #expect(damaged.contains("[1, 6]"))
        let empty = Self.message {
            try Quantizer.quantize(
                folder: folder.path, output: output + "2", recipe: recipe, calibration: [])
        }
        #expect(empty.contains("the calibration text is empty"))
        let short = Self.message {
            try Quantizer.quantize(
                folder: folder.path, output: output + "4", recipe: recipe, calibration: Array("words".utf8))
        }
        #expect(
            short.contains("the calibration text has 5 tokens: expected at least one window of 256"),
            "\(short)")
        let uncalibrated = Self.message {
            try Quantizer.quantize(
                folder: folder.path, output: output + "3", recipe: QuantizationRecipe(format: .int8),
                calibration: Array("some text".utf8))
        }
        #expect(uncalibrated.contains("calibration is for formats of 4 bits"))
    }

    /// Every scale that is stored is among the candidates, so that none of them is better for any group.
    @Test(arguments: [ElementType.f32, .f16, .bf16], [true, false])
    func codesAreTheNearest(scaleType: ElementType, isSymmetric: Bool) {
        let quantizer = WeightQuantizer(
            format: .int4(groupSize: 32, isSymmetric: isSymmetric), scaleType: scaleType, k: 64)
        var row: [Float] = (0..<64).map { (index: Int) -> Float in Float((index * 37) % 64) / 50 - 0.6 }
        row[40] = 0
        for index in 32..<40 { row[index] *= 1e-3 }
        var codes = [UInt8](repeating: 0, count: 64)
        var (scales, zeros) = ([Float](repeating: 0, count: 2), [UInt8](repeating: 0, count: 2))
        quantizer.quantize(
            row, importance: [Float](repeating: 1, count: 64), codes: &codes, scales: &scales, zeros: &zeros)
        for (index, value) in row.enumerated() {
            let (scale, zero) = (scales[index / 32], Int(zeros[index / 32]))
            #expect(ScaledWeights.rounded(scale, scaleType) == scale && scale > 0)
            let nearest = (0...15).min { a, b in
                abs(Float(a - zero) * scale - value) < abs(Float(b - zero) * scale - value)
            }
            let error = abs(Float(Int(codes[index]) - zero) * scale - value)
            let least = abs(Float((nearest ?? 0) - zero) * scale - value)
            #expect(error <= least * 1.00001 + 1e-7)
        }
        let nothing = [Float](repeating: 0, count: 64)
        quantizer.quantize(
            nothing, importance: nothing, codes: &codes, scales: &scales, zeros: &zeros)
        #expect(zip(codes, 0..<64).allSatisfy { $0 == zeros[$1 / 32] } && scales.allSatisfy { $0 > 0 })
    }
}
