import ArgumentParser
import Foundation
import Testing

@testable import ApusCommand

/// The help of every command against the text recorded in `Golden`; `RECORD=1` records it anew and fails.
@Suite struct HelpTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden")

    @Test(arguments: [
        "apus", "run", "eval", "quantize", "compile", "tokenize", "synth", "bench", "matrix", "inspect",
        "doctor",
    ])
    func helpIsAsRecorded(command: String) throws {
        let types: [String: any ParsableCommand.Type] = [
            "run": RunCommand.self, "eval": EvalCommand.self, "quantize": QuantizeCommand.self,
            "compile": CompileCommand.self,
            "tokenize": TokenizeCommand.self,
            "synth": SynthCommand.self, "bench": BenchCommand.self, "matrix": MatrixCommand.self,
            "inspect": InspectCommand.self, "doctor": DoctorCommand.self,
        ]
        let help =
            if let type = types[command] {
                ApusTool.helpMessage(for: type, columns: 100) + "\n"
            } else {
                ApusTool.helpMessage(columns: 100) + "\n"
            }
        let file = Self.folder.appendingPathComponent("\(command).txt")
        if ProcessInfo.processInfo.environment["RECORD"] == "1" {
            try help.write(to: file, atomically: true, encoding: .utf8)
            Issue.record("recorded \(file.lastPathComponent); run again without RECORD=1")
        }
        let golden = try String(contentsOf: file, encoding: .utf8)
        #expect(help == golden, "RECORD=1 swift test --filter HelpTests records a wanted change")
    }

    @Test func everyCommandHasAGolden() {
        #expect(ApusTool.configuration.subcommands.count == 10)
    }
}
