import Foundation
import Testing

/// Runs the built `apus` on the recorded fixtures, as a user would.
@Suite struct EndToEndTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent()
    static let fixtures = root.appendingPathComponent("Tests/Fixtures").path

    /// What a run of `apus` left behind.
    struct Outcome {
        var output: String
        var diagnostics: String
        var status: Int32
        var reason: Process.TerminationReason
    }

    /// The executable beside the test bundle, or in the package's build folder.
    private static let executable: String? = {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let process = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let folders =
            [process.deletingLastPathComponent(), bundle.deletingLastPathComponent()]
            + ["debug", "release"].map { root.appendingPathComponent(".build/\($0)") }
        return folders.map { $0.appendingPathComponent("apus").path }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    func apus(_ arguments: [String], input: String = "", environment: [String: String] = [:]) throws
        -> Outcome
    {
        let process = Process()
        process.executableURL = URL(
            fileURLWithPath: try #require(Self.executable, "no built apus beside the tests"))
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let files = try (0..<3).map { _ in try TemporaryFile() }
        try input.write(to: files[0].url, atomically: false, encoding: .utf8)
        process.standardInput = try FileHandle(forReadingFrom: files[0].url)
        process.standardOutput = try FileHandle(forWritingTo: files[1].url)
        process.standardError = try FileHandle(forWritingTo: files[2].url)
        try process.run()
        process.waitUntilExit()
        return Outcome(
            output: try String(contentsOf: files[1].url, encoding: .utf8),
            diagnostics: try String(contentsOf: files[2].url, encoding: .utf8),
            status: process.terminationStatus,
            reason: process.terminationReason)
    }

    /// A copy of a fixture that a test may spoil.
    func copy(_ fixture: String) throws -> TemporaryFile {
        let folder = try TemporaryFile(isFolder: true)
        for name in ["config.json", "model.safetensors", "generation_config.json"] {
            let source = "\(Self.fixtures)/\(fixture)/\(name)"
            guard FileManager.default.fileExists(atPath: source) else { continue }
            try FileManager.default.copyItem(
                atPath: source, toPath: folder.url.appendingPathComponent(name).path)
        }
        return folder
    }

    private struct Cases: Decodable {
        struct Case: Decodable {
            var name: String
            var prompt: [Int]
            var tokens: [Int]
        }
        var cases: [Case]
    }

    private struct Answer: Decodable {
        var promptIDs: [Int]
        var tokenIDs: [Int]
        var text: String?
        var finishReason: String
        var stats: [String: Figure]

        enum CodingKeys: String, CodingKey {
            case promptIDs = "prompt_ids"
            case tokenIDs = "token_ids"
            case finishReason = "finish_reason"
            case text, stats
        }

        enum Figure: Decodable {
            case number(Double), text(String), nothing
            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if container.decodeNil() {
                    self = .nothing
                } else if let number = try? container.decode(Double.self) {
                    self = .number(number)
                } else {
                    self = .text(try container.decode(String.self))
                }
            }
        }
    }

    @Test(arguments: ["gpt2", "llama2", "qwen3"], ["plugin", "reference"])
    func runGivesTheTokensOfTransformers(fixture: String, backend: String) throws {
        let folder = "\(Self.fixtures)/\(fixture)"
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/cases.json"))
        let recorded = try #require(
            try JSONDecoder().decode(Cases.self, from: data).cases.first { $0.name == "len7" })
        let dump = try TemporaryFile()
        let outcome = try apus([
            "run", "--model", folder, "--input-ids", recorded.prompt.map(String.init).joined(separator: ","),
            "--json",
            "--precision", "FP32", "--ignore-eos", "--num_tokens", "\(recorded.tokens.count)", "--backend",
            backend,
            "--dump-logits", dump.url.path,
        ])
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        #expect(outcome.diagnostics == "")
        let answer = try JSONDecoder().decode(Answer.self, from: Data(outcome.output.utf8))
        #expect(answer.promptIDs == recorded.prompt)
        #expect(answer.tokenIDs == recorded.tokens)
        #expect(answer.text == nil)
        #expect(answer.finishReason == "length")
        for key in [
            "ttft_ms", "decode_tokens_per_second", "peak_memory_bytes", "load_seconds", "build_seconds",
        ] {
            guard case .number(let value)? = answer.stats[key] else {
                Issue.record("stats has no number '\(key)'")
                continue
            }
            #expect(value > 0)
        }

        let logits = try Data(contentsOf: dump.url)
        let values = logits.dropFirst(128).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let columns = values.count / recorded.tokens.count
        #expect(
            String(decoding: logits[10..<128], as: UTF8.self).contains(
                "'descr': '<f4', 'fortran_order': False, 'shape': (\(recorded.tokens.count), \(columns))"))
        let chosen = (0..<recorded.tokens.count).map { row -> Int in
            let row = values[(row * columns)..<((row + 1) * columns)]
            return (row.indices.max { row[$0] < row[$1] } ?? row.startIndex) - row.startIndex
        }
        #expect(chosen == recorded.tokens)
    }

    @Test func textStreamsAndEndsWithFigures() throws {
        let outcome = try apus([
            "run", "--model", "\(Self.fixtures)/llama2", "--input-ids", "1,5,9", "--num-tokens", "4",
            "--ignore-eos",
        ])
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.split(separator: " ").count == 4)
        #expect(lines.last?.hasPrefix("[3 prompt tokens, TTFT ") == true)
        #expect(lines.last?.contains(" tokens/s, peak memory ") == true)
        #expect(outcome.diagnostics == "")
    }

    @Test func synthesizedFoldersRunTokenizeAndBench() throws {
        let folder = try TemporaryFile(isFolder: true)
        let config = "\(Self.fixtures)/qwen3/config.json"
        let synth = [
            "synth", "--config", config, "--seed", "3", "--precision", "fp16", "--output", folder.url.path,
        ]
        #expect(try apus(synth).status == 0)
        let again = try apus(synth)
        #expect(again.status == 65)
        #expect(again.diagnostics.contains("the folder is not empty; name another, or add --force"))
        #expect(try apus(synth + ["--force"]).status == 0)

        let ids = try apus(["tokenize", "--model", folder.url.path, "--text", "Hé"])
        #expect(ids.output == "72 195 169\n")
        let text = try apus(["tokenize", "--model", folder.url.path, "--ids", "72,195,169", "--json"])
        #expect(text.output == "\"Hé\"\n")
        let lines = try apus(
            ["tokenize", "--model", folder.url.path, "--jsonl", "-"], input: "\"ab\"\n\"\\n\"\n")
        #expect(lines.output == "[97,98]\n[10]\n")
        let back = try apus(
            ["tokenize", "--model", folder.url.path, "--jsonl", "-", "--decode"], input: lines.output)
        #expect(back.output == "\"ab\"\n\"\\n\"\n")

        let bench = try apus([
            "bench", "--model", folder.url.path, "--isl", "4", "--osl", "3,1", "--depth", "0,5",
            "--iterations", "1",
            "--warmup", "0", "--json",
        ])
        #expect(bench.status == 0, "\(bench.diagnostics)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(bench.output.utf8)) as? [String: Any])
        #expect(report["machine"] is [String: Any])
        let rows = try #require(report["rows"] as? [[String: Any]])
        #expect(rows.map { $0["osl"] as? Int } == [3, 3, 1, 1])
        #expect(rows.map { $0["depth"] as? Int } == [0, 5, 0, 5])
        #expect(rows.allSatisfy { $0["precision"] as? String == "FP16" })
        #expect(rows[0]["tpot_ms"] is Double)
        #expect(rows[2]["tpot_ms"] is NSNull)
    }

    @Test(arguments: ["imported", "lowered", "engine"])
    func inspectPrintsEveryStage(stage: String) throws {
        let outcome = try apus(["inspect", "--model", "\(Self.fixtures)/llama2", "--stage", stage])
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        let mark = ["imported": "rsqrt(", "lowered": "attention_plugin(", "engine": "cpu.attention_plugin "][
            stage]
        #expect(outcome.output.contains(try #require(mark)))
    }

    @Test func aMissingPythonIsToldAndTheRunGoesOn() throws {
        let outcome = try apus(
            [
                "run", "--model", "\(Self.fixtures)/llama2", "--input-ids", "1", "--num-tokens", "2",
                "--json",
                "--enable_pytorch_run",
            ], environment: ["PATH": "/nowhere", "APUS_PYTHON": ""])
        #expect(outcome.status == 0)
        #expect(outcome.diagnostics.contains("python3 -m pip install torch transformers"))
        #expect(outcome.output.contains("\"pytorch\":{\"unavailable\":\""))
    }

    /// Runs a command that must end with a status and one line that begins with `error:`.
    func expectError(_ arguments: [String], status: Int32, containing text: String) throws {
        let outcome = try apus(arguments)
        #expect(outcome.reason == .exit, "\(arguments) crashed")
        #expect(outcome.status == status, "\(outcome.diagnostics)")
        #expect(outcome.output == "")
        #expect(outcome.diagnostics.hasPrefix("error: "))
        #expect(outcome.diagnostics.contains(text), "\(outcome.diagnostics)")
    }

    @Test(
        arguments: [
            (["--prompt", "x"], 66, "--prompt: "),
            (
                ["--input-ids", "263"], 65,
                "--input-ids: prompt 0: token id 263 is outside the vocabulary of 263 tokens"
            ),
            (["--input-ids", "-1"], 65, "--input-ids: expected token ids such as 1,2,3, got '-1'"),
            (["--input-ids", ","], 65, "--input-ids: sequence 0 is empty"),
            (["--input-ids", "@/nowhere.json"], 66, "/nowhere.json: no such file"),
            (["--prompt", ""], 64, "--prompt: expected some text"),
            (["--input-ids", "1", "--num-tokens", "512"], 65, "ask for at most 511 new tokens"),
            (["--input-ids", "1,2", "--num-tokens", "3", "--context-length", "4"], 65, "--context-length 4"),
            (["--input-ids", "1", "--logit-bias", "999=1"], 65, "999"),
            (["--input-ids", "1", "--precision", "FP8"], 64, "'FP16', 'FP32' or 'BF16'"),
            (
                ["--input-ids", "1", "--backend", "cuda"], 64,
                "'reference', 'sdpa', 'iattention', 'plugin' or 'all'"
            ),
            (["--input-ids", "1", "--cache", "static_v2"], 64, "--backend plugin with in_place"),
            (["--input-ids", "1", "--dump-logits", "/nowhere/x.npy"], 74, "/nowhere/x.npy: cannot write"),
            (["--input-ids", "1", "--stop", "x"], 66, "--stop: "),
            (["--input-ids", "1", "--tokenizer", "/nowhere"], 66, "/nowhere/tokenizer.json: no such file"),
        ] as [([String], Int32, String)])
    func wrongInputIsRefused(arguments: [String], status: Int32, text: String) throws {
        try expectError(
            ["run", "--model", "\(Self.fixtures)/llama2"] + arguments, status: status, containing: text)
    }

    @Test func missingFoldersAreNamed() throws {
        for command in [["run", "--input-ids", "1"], ["bench"], ["inspect"]] {
            try expectError(
                command + ["--model", "/nowhere"], status: 66,
                containing: "/nowhere: no such folder; check the path")
        }
        try expectError(
            ["tokenize", "--model", "/nowhere", "--text", "x"], status: 66,
            containing: "/nowhere/tokenizer.json")
        try expectError(
            ["bench", "--config", "/nowhere.json", "--random-weights"], status: 66,
            containing: "/nowhere.json: no such file")
    }

    @Test(arguments: [100, 5000, -1])
    func damagedWeightsAreNamed(length: Int) throws {
        let folder = try copy("llama2")
        let file = folder.url.appendingPathComponent("model.safetensors")
        let data = try Data(contentsOf: file)
        try (length < 0 ? data.dropLast() : data.prefix(length)).write(to: file)
        try expectError(
            ["run", "--model", folder.url.path, "--input-ids", "1"], status: 65,
            containing: "model.safetensors")
    }

    @Test(
        arguments: [
            (#"{"model_type": "mamba"}"#, 69, "mamba"), (#"{"model_type": "#, 65, "config.json"),
            ("[]", 65, "config.json"),
        ] as [(String, Int32, String)])
    func wrongConfigsAreNamed(config: String, status: Int32, text: String) throws {
        let folder = try copy("llama2")
        try config.write(
            to: folder.url.appendingPathComponent("config.json"), atomically: true, encoding: .utf8)
        try expectError(
            ["run", "--model", folder.url.path, "--input-ids", "1"], status: status, containing: text)
    }

    @Test(arguments: ["{", "{}", #"{"model": {"type": "Magic"}}"#])
    func wrongTokenizersAreNamed(json: String) throws {
        let folder = try copy("llama2")
        try json.write(
            to: folder.url.appendingPathComponent("tokenizer.json"), atomically: true, encoding: .utf8)
        for arguments in [["run", "--prompt", "x"], ["tokenize", "--text", "x"]] {
            let outcome = try apus(arguments + ["--model", folder.url.path])
            #expect(outcome.status == 65 || outcome.status == 69)
            #expect(
                outcome.diagnostics.hasPrefix("error: \(folder.url.path)/tokenizer.json: "),
                "\(outcome.diagnostics)")
        }
    }

    @Test func linesThatAreNoJSONAreNamed() throws {
        let folder = try copy("llama2")
        let synth = try apus([
            "synth", "--config", folder.url.path + "/config.json", "--output", folder.url.path, "--force",
        ])
        #expect(synth.status == 0, "\(synth.diagnostics)")
        let outcome = try apus(["tokenize", "--model", folder.url.path, "--jsonl", "-"], input: "\"a\"\n7\n")
        #expect(outcome.output == "[97]\n")
        #expect(outcome.status == 65)
        #expect(
            outcome.diagnostics.hasPrefix("error: standard input: line 2: expected a JSON string, got number")
        )
        try expectError(
            ["tokenize", "--model", folder.url.path, "--ids", "99999"], status: 65,
            containing: "token id 99999")
    }
}

/// A file or folder that goes when the test ends.
final class TemporaryFile: Sendable {
    let url: URL

    init(isFolder: Bool = false) throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)")
        if isFolder {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        } else {
            try Data().write(to: url)
        }
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}
