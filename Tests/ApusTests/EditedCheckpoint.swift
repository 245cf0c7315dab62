import Foundation
import Testing

@testable import Apus

/// A copy of a fixture's folder whose config and tensors are changed before they are written.
final class EditedCheckpoint {
    struct Tensor {
        var dtype: String
        var shape: [Int]
        var bytes: [UInt8]
    }

    let folder: String
    /// Files beside the weights by name: `config.json`, and those of older tools.
    var files: [String: [String: Any]] = [:]
    /// The tensors by name.
    var tensors: [String: Tensor] = [:]
    private let weightsFile: String
    private let scratch: ScratchFolder

    static let quantised =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        + "/Fixtures/quantised"

    /// Reads a folder of `Fixtures/quantised`.
    init(_ name: String) throws {
        scratch = try ScratchFolder()
        folder = scratch.path
        let source = "\(Self.quantised)/\(name)"
        let names = try FileManager.default.contentsOfDirectory(atPath: source)
        for file in names where file.hasSuffix(".json") && file != "cases.json" {
            let data = try Data(contentsOf: URL(fileURLWithPath: "\(source)/\(file)"))
            files[file] = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        }
        weightsFile = try #require(names.first { $0.hasSuffix(".safetensors") })
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(source)/\(weightsFile)")))
        let length = (0..<8).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
        let header = try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: Any]
        for (name, value) in header ?? [:] where name != "__metadata__" {
            let entry = try #require(value as? [String: Any])
            let place = try #require(entry["data_offsets"] as? [Int])
            tensors[name] = Tensor(
                dtype: try #require(entry["dtype"] as? String), shape: try #require(entry["shape"] as? [Int]),
                bytes: Array(bytes[8 + length + place[0]..<8 + length + place[1]]))
        }
    }

    /// The object under `quantization_config`, or the file of an older tool.
    var quantization: [String: Any] {
        get {
            files["quantize_config.json"] ?? files["config.json"]?["quantization_config"] as? [String: Any]
                ?? [:]
        }
        set {
            if files["quantize_config.json"] != nil {
                files["quantize_config.json"] = newValue
            } else {
                files["config.json"]?["quantization_config"] = newValue
            }
        }
    }

    /// The tensor of a layer of the first block, such as `up_proj.qweight`.
    func name(_ ending: String) throws -> String {
        try #require(tensors.keys.sorted().first { $0.hasSuffix(ending) }, "no tensor \(ending)")
    }

    /// Gives a tensor another type or shape, and zeros of that size.
    func retype(_ ending: String, dtype: String? = nil, shape: [Int]? = nil) throws {
        let name = try name(ending)
        var tensor = try #require(tensors[name])
        tensor.dtype = dtype ?? tensor.dtype
        tensor.shape = shape ?? tensor.shape
        let size = ["I64": 8, "F64": 8, "I32": 4, "F32": 4, "F16": 2, "BF16": 2][tensor.dtype] ?? 1
        tensor.bytes = [UInt8](repeating: 0, count: tensor.shape.reduce(size, *))
        tensors[name] = tensor
    }

    /// Overwrites bytes of a tensor.
    func patch(_ ending: String, _ bytes: [UInt8], at offset: Int = 0) throws {
        let name = try name(ending)
        tensors[name]?.bytes.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }

    /// Writes all files.
    ///
    /// Tensors may say another type or shape than their bytes have.
    func write() throws {
        for (name, object) in files {
            let data = try JSONSerialization.data(withJSONObject: object, options: [.fragmentsAllowed])
            try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        }
        var header: [String: Any] = [:]
        var body: [UInt8] = []
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            header[name] = [
                "dtype": tensor.dtype, "shape": tensor.shape,
                "data_offsets": [body.count, body.count + tensor.bytes.count],
            ]
            body += tensor.bytes
        }
        let text = try JSONSerialization.data(withJSONObject: header)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        try (Data(length) + text + Data(body)).write(to: URL(fileURLWithPath: "\(folder)/\(weightsFile)"))
    }

    /// The weights' file as it is written.
    var weightsPath: String { "\(folder)/\(weightsFile)" }

    /// What loading and running ends with; nil if a token was generated.
    func failure(threads: Int = 1) throws -> ApusError? {
        do {
            let model = try LanguageModel(folder: folder, options: LoadOptions(threads: threads))
            _ = try model.generate([[1]], options: GenerationOptions(maxNewTokens: 1))
            return nil
        } catch {
            return error
        }
    }
}
