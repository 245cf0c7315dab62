import Foundation
import Testing

/// `apus compile`, and every command that takes an engine as a model.
extension EndToEndTests {
    /// A folder with random weights of a fixture's shape and a tokenizer of bytes.
    private func synthesized(_ fixture: String = "qwen3", seed: Int = 3) throws -> TemporaryFile {
        let folder = try TemporaryFile(isFolder: true)
        let outcome = try apus([
            "synth", "--config", "\(Self.fixtures)/\(fixture)/config.json", "--seed", "\(seed)",
            "--precision", "fp16",
            "--output", folder.url.path,
        ])
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        return folder
    }

    private func text(_ model: String, _ more: [String] = []) throws -> Outcome {
        try apus(
            ["run", "--model", model, "--prompt", "Hi", "--num-tokens", "6", "--ignore-eos", "--json"] + more)
    }

    /// The text of a run's JSON.
    private func generated(_ outcome: Outcome) throws -> [Int] {
        let json = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return try #require(json?["token_ids"] as? [Int], "\(outcome.diagnostics)")
    }

    @Test func anEngineStandsAlone() throws {
        let folder = try synthesized()
        let engine = try TemporaryFile()
        let path = engine.url.path
        let expected = try generated(text(folder.url.path))
        let compiled = try apus(["compile", "--model", folder.url.path, "--output", path])
        #expect(compiled.status == 0, "\(compiled.diagnostics)")
        #expect(compiled.output.hasPrefix("\(path): qwen3, 2 layers, vocabulary 271, 512 positions, f16\n"))
        #expect(compiled.output.contains("| weights "))
        #expect(compiled.output.contains("| tokenizer/tokenizer.json "))
        #expect(compiled.output.contains("attention: 2 × attention_plugin\n"))
        #expect(compiled.output.contains("compiled in "))
        try FileManager.default.removeItem(at: folder.url)

        let run = try text(path)
        #expect(run.status == 0, "\(run.diagnostics)")
        #expect(try generated(run) == expected)
        #expect(try apus(["tokenize", "--model", path, "--text", "Hé"]).output == "72 195 169\n")
        let bench = try apus([
            "bench", "--model", path, "--isl", "4", "--osl", "2", "--iterations", "1", "--warmup", "0",
            "--json",
        ])
        #expect(bench.status == 0 && bench.output.contains("\"precision\":\"FP16\""), "\(bench.diagnostics)")
        let inspect = try apus(["inspect", "--model", path])
        #expect(inspect.status == 0, "\(inspect.diagnostics)")
        for part in ["written by apus ", "| section ", "| weights ", "cpu.attention_plugin ", "tensors:"] {
            #expect(inspect.output.contains(part))
        }
        #expect(try apus(["inspect", "--model", path, "--stage", "engine"]).output == inspect.output)

        try expectError(
            ["inspect", "--model", path, "--stage", "lowered"], status: 69,
            containing: "holds a plan and no graph")
        try expectError(
            ["run", "--model", path, "--prompt", "x", "--precision", "FP32"], status: 65,
            containing: "\(path): expected precision f32, got an engine of f16")
        try expectError(
            ["run", "--model", path, "--prompt", "x", "--backend", "reference"], status: 69,
            containing: "the reference backend runs an imported model")
        try expectError(
            ["run", "--model", path, "--prompt", "x", "--enable-pytorch-run"], status: 69,
            containing: "--enable-pytorch-run: needs the model's folder")
        try expectError(
            ["compile", "--model", path, "--output", "/dev/null"], status: 69,
            containing: "give the model's folder")
    }

    @Test func damagedEnginesAreNamed() throws {
        let folder = try synthesized()
        let engine = try TemporaryFile()
        let path = engine.url.path
        #expect(try apus(["compile", "--model", folder.url.path, "--output", path]).status == 0)
        let good = try Data(contentsOf: engine.url)
        var bad = good
        bad[good.count - 100] ^= 1
        try bad.write(to: engine.url)
        for command in [["run", "--input-ids", "1"], ["bench", "--isl", "4", "--osl", "2"], ["inspect"]] {
            try expectError(
                command + ["--model", path], status: 65,
                containing: "\(path): section 'weights': expected hash ")
        }
        try good.prefix(5000).write(to: engine.url)
        try expectError(
            ["run", "--model", path, "--input-ids", "1"], status: 65,
            containing: "expected \(good.count) bytes, got 5000: the file is cut short")
        try Data("hello".utf8).write(to: engine.url)
        for command in [
            ["run", "--input-ids", "1"], ["bench"], ["inspect"], ["compile", "--output", "/dev/null"],
        ] {
            try expectError(
                command + ["--model", path], status: 65,
                containing: "expected a folder with config.json, or an engine")
        }
        try expectError(
            ["compile", "--model", folder.url.path, "--output", "/nowhere/x.apus"], status: 74,
            containing: "/nowhere/x.apus: cannot create")
    }

    @Test func refitGivesWhatCompilingGives() throws {
        let (old, new) = (try synthesized(seed: 1), try synthesized(seed: 2))
        let engines = try (0..<3).map { _ in try TemporaryFile() }
        let paths = engines.map(\.url.path)
        #expect(try apus(["compile", "--model", old.url.path, "--output", paths[0]]).status == 0)
        #expect(try apus(["compile", "--model", new.url.path, "--output", paths[1]]).status == 0)
        let refit = try apus(["compile", "--refit", paths[0], "--model", new.url.path, "--output", paths[2]])
        #expect(refit.status == 0, "\(refit.diagnostics)")
        #expect(refit.output.contains("refitted in "))
        #expect(try Data(contentsOf: engines[2].url) == Data(contentsOf: engines[1].url))
        #expect(try Data(contentsOf: engines[2].url) != Data(contentsOf: engines[0].url))
        // Without a tokenizer beside the new weights the engine's own stays.
        try FileManager.default.removeItem(at: new.url.appendingPathComponent("tokenizer.json"))
        #expect(
            try apus(["compile", "--refit", paths[0], "--model", new.url.path, "--output", paths[2]]).status
                == 0)
        #expect(try Data(contentsOf: engines[2].url) == Data(contentsOf: engines[1].url))

        let other = try synthesized("llama2")
        try expectError(
            ["compile", "--refit", paths[0], "--model", other.url.path, "--output", paths[2]], status: 65,
            containing: "\(paths[0]): refit: ")
        try expectError(
            [
                "compile", "--refit", paths[0], "--precision", "fp32", "--model", new.url.path, "--output",
                paths[2],
            ],
            status: 64, containing: "--refit keeps the engine's precision")
        try expectError(
            ["compile", "--refit", new.url.path, "--model", new.url.path, "--output", paths[2]], status: 74,
            containing: "expected a file, got a folder")
    }

    @Test func processesShareACache() throws {
        let folder = try synthesized()
        let cache = try TemporaryFile(isFolder: true)
        let expected = try generated(text(folder.url.path))
        let group = DispatchGroup()
        let outcomes = Outcomes()
        for _ in 0..<4 {
            DispatchQueue.global().async(group: group) {
                outcomes.append(
                    Result { try self.text(folder.url.path, ["--engine-cache", cache.url.path]) })
            }
        }
        group.wait()
        for outcome in outcomes.all {
            #expect(try generated(outcome.get()) == expected)
            #expect(try outcome.get().diagnostics == "")
        }
        func names() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: cache.url.path).filter { $0 != ".lock" }
        }
        #expect(try names().count == 1)
        // The environment names the cache as well; a spoiled entry is told of, and the run goes on.
        let entry = cache.url.appendingPathComponent(try #require(try names().first))
        var bytes = try Data(contentsOf: entry)
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: entry)
        let arguments = ["run", "--model", folder.url.path, "--input-ids", "1", "--num-tokens", "2"]
        let environment = ["APUS_ENGINE_CACHE": cache.url.path]
        let warned = try apus(arguments, environment: environment)
        #expect(warned.status == 0)
        #expect(warned.diagnostics.hasPrefix("warning: engine cache: "))
        #expect(try apus(arguments, environment: environment).diagnostics == "")
        #expect(try names().count == 1)
    }

    private final class Outcomes: @unchecked Sendable {
        private let lock = NSLock()
        private var results: [Result<Outcome, any Error>] = []

        func append(_ result: Result<Outcome, any Error>) { lock.withLock { results.append(result) } }

        var all: [Result<Outcome, any Error>] { lock.withLock { results } }
    }
}
