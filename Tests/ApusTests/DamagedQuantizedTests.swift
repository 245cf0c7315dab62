import Foundation
import TestNumbers
import Testing

@testable import Apus

/// Quantised checkpoints that are not what they should be: an error that says so, never a crash.
@Suite struct DamagedQuantizedTests {
    /// One thing that is wrong, and a part of what is said of it.
    struct Fault: Sendable, CustomTestStringConvertible {
        let fixture: String
        let message: String
        let edit: @Sendable (EditedCheckpoint) throws -> Void

        init(
            _ fixture: String, _ message: String,
            _ edit: @escaping @Sendable (EditedCheckpoint) throws -> Void
        ) {
            self.fixture = fixture
            self.message = message
            self.edit = edit
        }

        var testDescription: String { "\(fixture): \(message)" }
    }

    private static let (nan16, infinity16): ([UInt8], [UInt8]) = ([1, 0x7E], [0, 0xFC])
    private static func i32(_ value: Int32) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static let configs: [Fault] = [
        Fault("awq-int4", #"quant_method: expected one of "awq""#) {
            $0.quantization["quant_method"] = "hqq"
        },
        Fault("awq-int4", "bits: expected 4, got 3") { $0.quantization["bits"] = 3 },
        Fault("awq-int4", "bits: expected an integer") { $0.quantization["bits"] = "four" },
        Fault("awq-int4", "groups of 48 columns do not divide its 128 columns") {
            $0.quantization["group_size"] = 48
        },
        Fault("awq-int4", "group_size: expected an integer in -1...") { $0.quantization["group_size"] = -2 },
        Fault("awq-int4", "group_size: expected a number of columns") { $0.quantization["group_size"] = 0 },
        Fault("awq-int4", "scales': expected F32, F16, BF16 of shape [4, 128], got F16[2, 128]") {
            $0.quantization["group_size"] = 32
        },
        Fault("gptq-int4", "bits: expected 4 or 8, got 2") { $0.quantization["bits"] = 2 },
        Fault("gptq-int4", "qweight': expected I32 of shape [32, 128], got I32[16, 128]") {
            $0.quantization["bits"] = 8
        },
        Fault("ct-int4", "num_bits: expected 4 or 8, got 6") { checkpoint in
            try edit(&checkpoint.quantization, "group_0") { $0["num_bits"] = 6 }
        },
        Fault("ct-int4", "groups of 48 columns do not divide its 128 columns") { checkpoint in
            try edit(&checkpoint.quantization, "group_0") { $0["group_size"] = 48 }
        },
        Fault("ct-int4", "config_groups") { $0.quantization["config_groups"] = ["group_0": "W4A16"] },
        Fault("ct-int8-packed", #"format: expected "pack-quantized" or "int-quantized", got "marlin-24""#) {
            $0.quantization["format"] = "marlin-24"
        },
        Fault("ct-int8", "is stored quantised, but no target of config_groups names it") {
            checkpoint in
            checkpoint.quantization["ignore"] = ["lm_head", "re:.*mlp.*"]
        },
        Fault("gptq-beside", "quantize_config.json: bits: is missing") { $0.quantization["bits"] = nil },
        Fault("gptq-beside", "quantize_config.json: 'foo' = 1: not understood") {
            $0.quantization["foo"] = 1
        },
        Fault("bnb-int8", "of bitsandbytes only LLM.int8 is supported") {
            $0.quantization["load_in_8bit"] = false
            $0.quantization["load_in_4bit"] = true
        },
        Fault("bnb-int8", "is unexpected") { $0.files["config.json"]?["quantization_config"] = nil },
        Fault("awq-int4", "is unexpected") { $0.files["config.json"]?["quantization_config"] = nil },
    ]

    private static func edit(
        _ quantization: inout [String: Any], _ group: String, _ body: (inout [String: Any]) -> Void
    ) throws {
        var groups = try #require(quantization["config_groups"] as? [String: Any])
        var one = try #require(groups[group] as? [String: Any])
        var weights = try #require(one["weights"] as? [String: Any])
        body(&weights)
        one["weights"] = weights
        groups[group] = one
        quantization["config_groups"] = groups
    }

    static let tensors: [Fault] = [
        Fault("awq-int4", "the scale of row 1, group 0 is NaN; expected finite scales") {
            try $0.patch("up_proj.scales", nan16, at: 2)
        },
        Fault("gptq-int4", "the scale of row 0, group 0 is -inf; expected finite scales") {
            try $0.patch("down_proj.scales", infinity16)
        },
        Fault("ct-int4", "the scale of row 0, group 1 is NaN; expected finite scales") {
            try $0.patch("q_proj.weight_scale", nan16, at: 2)
        },
        Fault("bnb-int8", "the scale of row 0, group 0 is ") {
            try $0.patch("q_proj.SCB", [0, 0, 0x80, 0x7F])
        },
        Fault("awq-int4", "up_proj.scales': expected F32, F16, BF16 of shape [2, 256], got F16[0, 256]") {
            try $0.retype("up_proj.scales", shape: [0, 256])
        },
        Fault("awq-int4", "q_proj.scales': expected F32, F16, BF16 of shape [2, 128], got I32[2, 128]") {
            try $0.retype("q_proj.scales", dtype: "I32")
        },
        Fault("awq-int4", "q_proj.scales': expected F32, F16, BF16 of shape [2, 128], got F64[2, 128]") {
            try $0.retype("q_proj.scales", dtype: "F64")
        },
        Fault("awq-int4", "q_proj.qweight': expected I32 of shape [128, 16], got I32[16, 128]") {
            try $0.retype("q_proj.qweight", shape: [16, 128])
        },
        Fault("gptq-int4", "q_proj.qweight': expected I32 of shape [16, 128], got I64[16, 128]") {
            try $0.retype("q_proj.qweight", dtype: "I64")
        },
        Fault("gptq-int8", "q_proj.qzeros': expected I32 of shape [2, 32], got I32[2, 16]") {
            try $0.retype("q_proj.qzeros", shape: [2, 16])
        },
        Fault("gptq-int8", "q_proj.qzeros': expected I32 of shape [2, 32], got U8[2, 32]") {
            try $0.retype("q_proj.qzeros", dtype: "U8")
        },
        Fault("gptq-int8", "q_proj.qzeros' I32 [2, 32] is missing") {
            $0.tensors[try $0.name("q_proj.qzeros")] = nil
        },
        Fault("gptq-int4", "q_proj.scales' F32, F16, BF16 [4, 128] is missing") {
            $0.tensors[try $0.name("q_proj.scales")] = nil
        },
        Fault("gptq-int4", "q_proj.g_idx' I32 [128] is missing") {
            $0.tensors[try $0.name("q_proj.g_idx")] = nil
        },
        Fault("gptq-int4", "q_proj.g_idx': expected I32 of shape [128], got I64[128]") {
            try $0.retype("q_proj.g_idx", dtype: "I64")
        },
        Fault("gptq-int4", "q_proj.g_idx': expected I32 of shape [128], got I32[64]") {
            try $0.retype("q_proj.g_idx", shape: [64])
        },
        Fault("gptq-int4", "column 2: expected a group in 0..<4, got 4") {
            try $0.patch("q_proj.g_idx", i32(4), at: 8)
        },
        Fault("gptq-int4", "column 0: expected a group in 0..<4, got -2147483648") {
            try $0.patch("q_proj.g_idx", i32(.min))
        },
        Fault("gptq-int4", "expected 32 columns in each group, got more in group 0") {
            try $0.retype("q_proj.g_idx")
        },
        Fault("gptq-int4", "q_proj.qweight' I32 [16, 128] is missing") {
            $0.tensors[try $0.name("q_proj.qweight")] = nil
        },
        Fault("ct-int4-ordered", "q_proj.weight_g_idx': expected I32 of shape [128], got F16[128]") {
            try $0.retype("q_proj.weight_g_idx", dtype: "F16")
        },
        Fault("ct-int4", "weight_shape': expected I64 or I32 [2] of [128, 128]") {
            try $0.patch("q_proj.weight_shape", [64])
        },
        Fault("ct-int4", "q_proj.weight_packed': expected I32 of shape [128, 16], got I32[128, 15]") {
            try $0.retype("q_proj.weight_packed", shape: [128, 15])
        },
        Fault("ct-int8", "q_proj.weight': expected I8 of shape [128, 128], got U8[128, 128]") {
            try $0.retype("q_proj.weight", dtype: "U8")
        },
        Fault("ct-int8", "q_proj.weight_scale': expected F32, F16, BF16 of shape [128, 1], got BF16[1, 128]")
        {
            try $0.retype("q_proj.weight_scale", shape: [1, 128])
        },
        Fault("awq-int4", "'model.layers.0.mlp.up_proj.junk' I32[1] is unexpected") {
            $0.tensors["model.layers.0.mlp.up_proj.junk"] = .init(dtype: "I32", shape: [1], bytes: i32(0))
        },
    ]

    @Test(arguments: configs + tensors)
    func whatIsWrongIsNamed(fault: Fault) throws {
        let checkpoint = try EditedCheckpoint(fault.fixture)
        try fault.edit(checkpoint)
        try checkpoint.write()
        let error = try #require(try checkpoint.failure(), "no error")
        #expect(error.description.contains(fault.message), "\(error)")
        #expect(error.description.contains(checkpoint.folder) || error.description.contains("'"), "\(error)")
        #expect(error.code != .internal && error.code != .io, "\(error)")
    }

    /// What is not an error: a scale of zero, which is a row of zeros.
    @Test func scalesOfZeroAreNumbers() throws {
        let checkpoint = try EditedCheckpoint("awq-int4")
        try checkpoint.retype("up_proj.scales")
        try checkpoint.write()
        #expect(try checkpoint.failure() == nil)
    }

    @Test func truncatedFilesAreErrors() throws {
        let checkpoint = try EditedCheckpoint("ct-int4")
        try checkpoint.write()
        let whole = try Data(contentsOf: URL(fileURLWithPath: checkpoint.weightsPath))
        for count in [0, 7, 8, 100, whole.count / 2, whole.count - 1] {
            try whole.prefix(count).write(to: URL(fileURLWithPath: checkpoint.weightsPath))
            let error = try #require(try checkpoint.failure(), "\(count) bytes")
            #expect(error.code == .invalidInput && error.description.contains("truncated"), "\(error)")
        }
        try (whole + [0]).write(to: URL(fileURLWithPath: checkpoint.weightsPath))
        #expect(try checkpoint.failure()?.description.contains("the file has") == true)
    }

    @Test(arguments: [("quantize_config.json", "gptq-beside"), ("quant_config.json", "gptq-beside")])
    func filesBesideTheConfigThatAreMalformedAreErrors(name: String, fixture: String) throws {
        for (text, message) in [
            ("", "\(name)"), ("{\"bits\": 4,", "\(name)"), ("[4]", "expected an object, got array"),
            ("{}", "is missing"), ("null", "expected an object"), ("{\"bits\": {}}", "bits"),
        ] {
            let checkpoint = try EditedCheckpoint(fixture)
            checkpoint.files["quantize_config.json"] = nil
            try checkpoint.write()
            try Data(text.utf8).write(to: URL(fileURLWithPath: "\(checkpoint.folder)/\(name)"))
            let error = try #require(try checkpoint.failure(), "\(text)")
            #expect(error.description.contains(message) && error.description.contains(name), "\(error)")
        }
    }

    @Test(arguments: [
        "awq-int4", "bnb-int8", "ct-int4", "ct-int4-ordered", "ct-int8", "ct-int8-packed", "gptq-beside",
        "gptq-int4", "gptq-int8",
    ])
    func whatIsQuantisedIsNotQuantisedAgain(name: String) throws {
        let output = try ScratchFolder()
        let target = output.path + "/out"
        let error = #expect(throws: ApusError.self) {
            try Quantizer.quantize(
                folder: "\(EditedCheckpoint.quantised)/\(name)", output: target,
                recipe: QuantizationRecipe(format: .int4(groupSize: 32)))
        }
        #expect(error?.description.contains("is quantised already") == true, "\(error.map { "\($0)" } ?? "")")
        #expect(!OutputFile.exists(target))
    }

    /// Fields of the config, types, shapes and bytes of tensors are exchanged at random: a model or an error.
    @Test(arguments: [
        "awq-int4", "bnb-int8", "ct-int4", "ct-int4-ordered", "ct-int8", "ct-int8-packed", "gptq-beside",
        "gptq-int4", "gptq-int8",
    ])
    func randomDamageNeverCrashes(name: String) throws {
        var generator = SeededGenerator(seed: name.utf8.reduce(11) { $0 &* 31 &+ UInt64($1) })
        var refused = 0
        for round in 0..<Fuzz.rounds(40) {
            let checkpoint = try EditedCheckpoint(name)
            for _ in 0..<Int.random(in: 1...2, using: &generator) {
                switch Int.random(in: 0..<4, using: &generator) {
                case 0, 1: checkpoint.quantization = Self.damaged(checkpoint.quantization, &generator)
                default: Self.damage(checkpoint, &generator)
                }
            }
            try checkpoint.write()
            if let error = try checkpoint.failure() {
                refused += 1
                #expect(error.code != .internal && !error.message.isEmpty, "round \(round): \(error)")
            }
        }
        #expect(refused >= 10)
    }

    /// An object with one value at any depth left out, added or replaced.
    private static func damaged(
        _ object: [String: Any], _ generator: inout SeededGenerator
    ) -> [String: Any] {
        let values: [Any] = [
            0, 1, 2, 3, 4, 8, 32, 48, 64, 128, -1, -7, 1 << 24, 1 << 62, 0.5, -1e300, true, false, NSNull(),
            "",
            "gptq", "awq", "compressed-tensors", "bitsandbytes", "group", "channel", "int", "float",
            "pack-quantized", "int-quantized", "re:.*", "re:(", "Linear", [Any](), [1], ["Linear"],
            ["re:.*_proj"],
            [String: Any](), ["num_bits": 4],
        ]
        var object = object
        guard let key = object.keys.sorted().randomElement(using: &generator) else { return object }
        if let inner = object[key] as? [String: Any], Int.random(in: 0..<4, using: &generator) > 0 {
            object[key] = damaged(inner, &generator)
        } else if Int.random(in: 0..<6, using: &generator) == 0 {
            object[key] = nil
        } else {
            object[key] = values.randomElement(using: &generator)
        }
        return object
    }

    /// Changes one tensor: its type, its shape, its bytes, or that it is there.
    private static func damage(_ checkpoint: EditedCheckpoint, _ generator: inout SeededGenerator) {
        guard let name = checkpoint.tensors.keys.sorted().randomElement(using: &generator),
            var tensor = checkpoint.tensors[name]
        else { return }
        let types = ["I64", "I32", "I8", "U8", "F32", "F16", "BF16", "BOOL", "F8_E4M3", "F64", "X9"]
        let sizes = ["I64": 8, "F64": 8, "I32": 4, "F32": 4, "F16": 2, "BF16": 2]
        switch Int.random(in: 0..<7, using: &generator) {
        case 0: tensor.dtype = types.randomElement(using: &generator) ?? "I32"
        case 1: tensor.shape = tensor.shape.reversed()
        case 2: tensor.shape = [tensor.shape.reduce(1, *)]
        case 3:
            // Of a size that fits, so that only the type or the shape is wrong.
            tensor.dtype = types.randomElement(using: &generator) ?? "I32"
            if !tensor.shape.isEmpty {
                let axis = Int.random(in: 0..<tensor.shape.count, using: &generator)
                tensor.shape[axis] =
                    [0, 1, tensor.shape[axis], tensor.shape[axis] * 2].randomElement(
                        using: &generator) ?? 1
            }
            let count = tensor.shape.reduce(sizes[tensor.dtype] ?? 1, *)
            tensor.bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        case 4, 5:
            for _ in 0..<4 where !tensor.bytes.isEmpty {
                let place = Int.random(in: 0..<tensor.bytes.count, using: &generator)
                tensor.bytes[place] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator) ?? 0
            }
        default:
            checkpoint.tensors[name] = nil
            return
        }
        checkpoint.tensors[name] = tensor
    }
}
