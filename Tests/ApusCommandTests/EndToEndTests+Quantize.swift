import Foundation
import Testing

/// `apus eval` and `apus quantize` as a user runs them.
extension EndToEndTests {
    private static let demo = URL(fileURLWithPath: fixtures).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Models/demo").path

    private func file(_ text: String) throws -> TemporaryFile {
        let file = try TemporaryFile()
        try text.write(to: file.url, atomically: false, encoding: .utf8)
        return file
    }

    @Test func evalPrintsPerplexityAndDivergence() throws {
        let text = try file("And God said, Let there be light: and there was light.\n")
        let arguments = ["eval", "--model", Self.demo, "--text", text.url.path, "--context", "16"]
        let outcome = try apus(arguments + ["--compare", Self.demo, "--stride", "8", "--json"])
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let model = try #require(report["model"] as? [String: Any])
        let perplexity = try #require(model["perplexity"] as? Double)
        #expect(perplexity > 1 && perplexity < 50)
        #expect(model["scored_tokens"] as? Int == (report["tokens"] as? Int).map { $0 - 1 })
        #expect((report["kl_divergence"] as? [String: Any])?["max"] as? Double == 0)
        #expect(report["same_top_share"] as? Double == 1)
        let table = try apus(arguments)
        #expect(table.output.contains("| \(Self.demo) | BF16 "), "\(table.diagnostics)")
        #expect(!table.output.contains("divergence"))
    }

    @Test func evalRefusesWhatHasNoPerplexity() throws {
        let (empty, text) = (try file(""), try file("In the beginning"))
        func refusal(_ arguments: [String]) throws -> String {
            let outcome = try apus(["eval"] + arguments)
            #expect(outcome.status != 0 && outcome.output == "")
            return outcome.diagnostics
        }
        #expect(
            try refusal(["--model", Self.demo, "--text", empty.url.path])
                .contains("expected a text of at least 2 tokens"))
        #expect(
            try refusal(["--model", "\(Self.fixtures)/llama2", "--text", text.url.path])
                .contains("--text: \(Self.fixtures)/llama2 has no tokenizer.json"))
        #expect(
            try refusal(["--model", Self.demo, "--text", text.url.path, "--context", "2000"])
                .contains("expected 2…1024 tokens"))
        #expect(
            try refusal(["--model", Self.demo, "--text", text.url.path, "--backend", "reference"])
                .contains("needs the logits of all tokens"))
        #expect(
            try refusal(["--model", Self.demo, "--text", "/nowhere.txt"]).contains("no such file"))
    }

    @Test func quantizeWritesAFolderAndATable() throws {
        let folder = try TemporaryFile(isFolder: true)
        let output = folder.url.appendingPathComponent("out").path
        let source = "\(Self.fixtures)/packed/symmetric/plain"
        let outcome = try apus([
            "quantize", "--model", source, "--output", output, "--group-size", "32", "--threads", "2",
        ])
        #expect(outcome.status == 0, "\(outcome.diagnostics)")
        #expect(outcome.output.contains("| model.layers.0.mlp.down_proj    | int4, groups of 32 |"))
        #expect(outcome.output.contains("| lm_head                         | int8, per channel  |"))
        #expect(outcome.output.contains("of weights in one file, from 75.6 KiB"))
        let again = try apus(["quantize", "--model", source, "--output", output, "--group-size", "32"])
        #expect(again.status == 65 && again.diagnostics.contains("expected no or an empty folder"))
    }

    @Test(arguments: [
        (["--group-size", "48"], "expected 128, 64 or 32, got 48"), (["--format", "int3"], "int3"),
        (["--format", "int8", "--group-size", "32"], "one scale for each output feature"),
        (["--format", "int8", "--calibration", "text.txt"], "--calibration is for --format int4"),
        (["--calibration-windows", "0"], "expected a count of at least 1"),
    ])
    func quantizeRefusesFlagsThatDoNotFit(arguments: [String], message: String) throws {
        let outcome = try apus(["quantize", "--model", Self.demo, "--output", "/nowhere"] + arguments)
        #expect(outcome.status == 64)
        #expect(outcome.diagnostics.contains(message), "\(outcome.diagnostics)")
    }

    @Test(arguments: ["bench", "inspect"])
    func groupsThatDoNotDivideTheColumnsAreNamed(command: String) throws {
        let flags = command == "bench" ? ["--random-weights", "--isl", "1", "--osl", "1"] : []
        for (size, message) in [
            ("24", "groups of 24 do not divide the columns of 35 layers; choose another group size"),
            ("128", "'model.layers.4.mlp.down_proj' has 608 columns"),
            ("0", "expected a count of at least 1, got 0"),
        ] {
            let outcome = try apus(
                [
                    command, "--config", "\(Self.demo)/config.json", "--precision", "INT4", "--group-size",
                    size,
                ] + flags)
            #expect(outcome.status != 0 && outcome.output == "")
            #expect(outcome.diagnostics.contains(message), "\(outcome.diagnostics)")
        }
    }

    /// What a user should know of a quantised checkpoint, whichever command reads it.
    @Test func notesOfACheckpointAreTold() throws {
        let (folder, engine) = ("\(Self.fixtures)/quantised/ct-int8", try TemporaryFile())
        for arguments in [
            ["run", "--input-ids", "1", "--num-tokens", "1"], ["inspect", "--dry-run"],
            ["bench", "--isl", "1", "--osl", "1", "--iterations", "1", "--warmup", "0"],
            ["compile", "--output", engine.url.path],
        ] {
            let outcome = try apus(arguments + ["--model", folder])
            #expect(outcome.status == 0)
            #expect(
                outcome.diagnostics.hasPrefix("warning: config_groups: layers are made for activations"),
                "\(arguments[0]): \(outcome.diagnostics)")
        }
    }
}
