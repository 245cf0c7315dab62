import Apus
import ApusCPU
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusSupport
import Foundation
import Testing

/// Small engines compiled of recorded fixtures.
enum Sample {
    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures").path

    static func backend() throws -> CPUBackend { try CPUBackend(threads: 1) }

    static func imported(_ fixture: String) throws -> ImportedModel {
        try Importer.importCheckpoint(folder: "\(fixtures)/\(fixture)")
    }

    static func compile(_ model: ImportedModel, precision: ElementType? = nil) throws -> Engine {
        try Compiler.compile(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(precision: precision), backend: backend())
    }

    static let tokenizer = [
        AttachedFile(name: "tokenizer.json", bytes: Array(#"{"version": "1.0"}"#.utf8)),
        AttachedFile(name: "chat_template.jinja", bytes: [0, 255, 10]),
    ]

    /// The smallest engine there is, or that of another fixture, in a file.
    static func file(_ fixture: String = "llama2-minimal") throws -> TemporaryFile {
        let model = try imported(fixture)
        let file = TemporaryFile()
        try EngineFile.write(
            compile(model), generation: model.generation, tokenizer: tokenizer, to: file.path)
        return file
    }

    /// The logits of a prompt of three tokens and one more.
    static func logits(_ engine: Engine) throws -> [Float] {
        let executor = try backend().makeExecutor(
            engine, limits: SessionLimits(batch: 1, chunk: 4, capacity: 8))
        func pass(_ tokens: [Int32], cached: Int32) throws -> [Float] {
            try tokens.withUnsafeBufferPointer { tokens in
                try [Int32(tokens.count)].withUnsafeBufferPointer { new in
                    try [cached].withUnsafeBufferPointer { cached in
                        Array(
                            try executor.forward(
                                tokens: tokens, batch: 1, width: tokens.count, newCounts: new,
                                cachedCounts: cached))
                    }
                }
            }
        }
        return try pass([1, 5, 9], cached: 0) + pass([2], cached: 3)
    }

    static func weights(_ engine: Engine) throws -> [UInt8] {
        let buffer = try engine.weights.buffer()
        return withExtendedLifetime(buffer) {
            Array(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount))
        }
    }
}

/// A file that goes when the test ends.
final class TemporaryFile {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func bytes() throws -> [UInt8] { try InputFile(path: path).bytes() }

    func write(_ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

    /// Replaces bytes without writing the others anew.
    func patch(_ bytes: [UInt8], at offset: Int) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }
}
