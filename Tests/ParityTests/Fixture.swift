import ApusFrontend
import ApusSupport
import Foundation
import Testing

/// A folder of `Tests/Fixtures`: a tiny checkpoint and what transformers computes from it.
struct Fixture: CustomTestStringConvertible, Sendable {
    /// One prompt with the greedy tokens that follow and the logits each was chosen from.
    struct Case: Sendable {
        let name: String
        let prompt: [Int32]
        let tokens: [Int32]
        let spread: Float
        let logits: [[Float]]
    }

    let name: String
    let folder: String
    let dtype: String
    /// The config key that a loader may reject instead; empty for most.
    let optional: String
    let cases: [Case]

    var testDescription: String { name }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").path

    /// All folders that hold a checkpoint.
    static let all: [Fixture] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return names.sorted().compactMap { name in
            FileManager.default.fileExists(atPath: "\(root)/\(name)/model.safetensors")
                || FileManager.default.fileExists(atPath: "\(root)/\(name)/model.safetensors.index.json")
                ? try? Fixture(name) : nil
        }
    }()

    /// The folders of `quantised`, whose checkpoints public tools packed.
    static let quantised: [Fixture] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/quantised")) ?? []
        return names.sorted().compactMap { name in
            FileManager.default.fileExists(atPath: "\(root)/quantised/\(name)/config.json")
                ? try? Fixture("quantised/\(name)") : nil
        }
    }()

    init(_ name: String) throws {
        self.name = name
        folder = "\(Self.root)/\(name)"
        let json = try JSON.parse(contentsOfFile: "\(folder)/cases.json")
        dtype = json["dtype"]?.string ?? ""
        optional = json["optional"]?.string ?? ""
        var cases: [Case] = []
        for entry in json["cases"].map({ Array($0.elements) }) ?? [] {
            let file = entry["logits"]?.string ?? ""
            cases.append(
                Case(
                    name: entry["name"]?.string ?? "",
                    prompt: entry["prompt"].map { $0.elements.compactMap { $0.int.map(Int32.init) } } ?? [],
                    tokens: entry["tokens"].map { $0.elements.compactMap { $0.int.map(Int32.init) } } ?? [],
                    spread: Float(entry["spread"]?.double ?? 0),
                    logits: try Self.rows(ofNPY: "\(folder)/\(file)")))
        }
        self.cases = cases
    }

    /// Reads a two-dimensional float32 array as numpy writes it.
    private static func rows(ofNPY path: String) throws -> [[Float]] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let headerLength = Int(data[8]) | Int(data[9]) << 8
        let header = String(decoding: data[10..<10 + headerLength], as: UTF8.self)
        guard data.prefix(6) == Data([0x93] + "NUMPY".utf8), header.contains("'<f4'"),
            let open = header.range(of: "'shape': ("),
            let close = header[open.upperBound...].firstIndex(of: ")")
        else { throw ApusError(.invalidInput, "\(path): not a float32 array") }
        let shape = header[open.upperBound..<close].split(separator: ",").compactMap {
            Int($0.trimmingCharacters(in: .whitespaces))
        }
        return data.dropFirst(10 + headerLength).withUnsafeBytes { bytes in
            (0..<shape[0]).map { row in
                (0..<shape[1]).map { column in
                    bytes.loadUnaligned(fromByteOffset: (row * shape[1] + column) * 4, as: Float.self)
                }
            }
        }
    }
}
