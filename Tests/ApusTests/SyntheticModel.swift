import Foundation
import Testing

@testable import Apus

/// A folder that goes when the test ends.
final class ScratchFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A Llama of two small layers whose norms make some channels far larger than others, as those of large models do.
struct SyntheticModel {
    static let (hidden, inner, vocabulary, layers) = (64, 96, 256, 2)
    private static let (heads, kvHeads, headSize) = (4, 2, 16)
    /// Tensors by name.
    var tensors: [String: [Float]] = [:]
    /// Whether the head is the embedding.
    var isTied = false
    private(set) var shapes: [String: [Int]] = [:]

    init(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        func noise(_ size: Float) -> Float {
            // Twelve uniform numbers less six are close to a normal one.
            size * (0..<12).reduce(Float(-6)) { sum, _ in sum + Float(generator.next() >> 40) * 0x1p-24 }
        }
        func add(_ name: String, _ shape: [Int], _ size: Float) {
            shapes[name + ".weight"] = shape
            tensors[name + ".weight"] = (0..<shape.reduce(1, *)).map { _ in noise(size) }
        }
        func addNorm(_ name: String) {
            shapes[name + ".weight"] = [Self.hidden]
            tensors[name + ".weight"] = (0..<Self.hidden).map { $0 % 16 == 3 ? 30 : 0.5 + noise(0.05) }
        }
        add("model.embed_tokens", [Self.vocabulary, Self.hidden], 1)
        for layer in 0..<Self.layers {
            let place = "model.layers.\(layer)."
            addNorm(place + "input_layernorm")
            addNorm(place + "post_attention_layernorm")
            // Columns of strong channels are small, as training makes them, so that their outputs are of one size.
            for (name, rows) in [
                ("self_attn.q_proj", 64), ("self_attn.k_proj", 32), ("self_attn.v_proj", 32),
                ("mlp.gate_proj", Self.inner), ("mlp.up_proj", Self.inner),
            ] {
                add(place + name, [rows, Self.hidden], 0.1)
                for index in 0..<rows * Self.hidden where index % 16 == 3 {
                    tensors[place + name + ".weight"]?[index] *= 0.15
                }
            }
            add(place + "self_attn.o_proj", [Self.hidden, 64], 0.05)
            add(place + "mlp.down_proj", [Self.hidden, Self.inner], 0.02)
        }
        add("lm_head", [Self.vocabulary, Self.hidden], 0.1)
        shapes["model.norm.weight"] = [Self.hidden]
        tensors["model.norm.weight"] = [Float](repeating: 1, count: Self.hidden)
    }

    /// Writes the checkpoint with a tokenizer of bytes, in FP32 or as it is given.
    func write(to folder: String) throws {
        let names = tensors.keys.sorted().filter { !isTied || $0 != "lm_head.weight" }
        let writer = try SafetensorsWriter(
            path: "\(folder)/model.safetensors",
            tensors: names.map { (name: $0, type: TensorType(.f32, shapes[$0] ?? [])) })
        for name in names {
            try (tensors[name] ?? []).withUnsafeBytes { try writer.write($0) }
        }
        try writer.finish()
        let config = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": \(Self.hidden), \
            "intermediate_size": \(Self.inner), "num_hidden_layers": \(Self.layers), "num_attention_heads": \(Self.heads), \
            "num_key_value_heads": \(Self.kvHeads), "vocab_size": \(Self.vocabulary), "max_position_embeddings": 256, \
            "rms_norm_eps": 1e-5, "tie_word_embeddings": \(isTied), "torch_dtype": "float32"}
            """
        try config.write(toFile: "\(folder)/config.json", atomically: true, encoding: .utf8)
        try (Tokenizer.byteLevelTokenizerJSON(specialTokens: []).text())
            .write(toFile: "\(folder)/tokenizer.json", atomically: true, encoding: .utf8)
    }

    /// The model with the weights of a quantised folder, decoded one number at a time.
    func decoded(from folder: String) throws -> SyntheticModel {
        let checkpoint = try Checkpoint(folder: folder)
        func bytes(_ name: String) throws -> [UInt8] {
            var result: [UInt8] = []
            try checkpoint.withBytes(of: name) { result = Array($0) }
            return result
        }
        func floats(_ name: String) throws -> [Float] {
            try bytes(name).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        }
        var copy = self
        for (name, shape) in shapes {
            guard checkpoint.type(of: name) == nil else {
                copy.tensors[name] = try floats(name)
                continue
            }
            let (n, k) = (shape[0], shape[1])
            let packed = try bytes(name + "_packed")
            let scales = try floats(name + "_scale")
            let groups = scales.count / n
            let bits = packed.count * 8 / (n * k)
            copy.tensors[name] = (0..<n * k).map { index in
                let scale = scales[index / k * groups + index % k * groups / k]
                let code = bits == 8 ? packed[index] : packed[index / 2] >> (4 * UInt8(index & 1)) & 15
                return Float(Int(code) - (bits == 8 ? 128 : 8)) * scale
            }
        }
        return copy
    }
}
