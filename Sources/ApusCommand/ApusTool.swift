import Apus
import ArgumentParser

/// The `apus` command: parses, runs one subcommand, and turns whatever it throws into a message and a status.
@main
struct ApusTool: ParsableCommand {
    /// What `apus --version` prints.
    static let version = ApusVersion.current

    static let configuration = CommandConfiguration(
        commandName: "apus",
        abstract: "Compiles large language models and runs them on this machine.",
        discussion: """
            A model is a folder as Hugging Face lays it out (config.json, *.safetensors and tokenizer.json), or an \
            engine that 'apus compile' made of one.

              apus run --model FOLDER --prompt "In the beginning"
              apus compile --model FOLDER --output model.apus
              apus bench --model FOLDER --isl 512 --osl 128 --depth 0,2048
              apus doctor

            \(ExitStatus.help)
            """,
        version: version,
        subcommands: [
            RunCommand.self, EvalCommand.self, QuantizeCommand.self, CompileCommand.self,
            TokenizeCommand.self, SynthCommand.self,
            BenchCommand.self,
            MatrixCommand.self, InspectCommand.self, DoctorCommand.self,
        ])

    static func main() {
        PhaseTimes.begin()
        Interruption.install()
        let failure: (any Error)?
        do {
            var command = try parseAsRoot()
            try command.run()
            failure = nil
        } catch {
            failure = error
        }
        guard let failure else { return }
        let report = FailureReport(failure)
        try? ByteOutput.standardOutput.write(report.output)
        try? ByteOutput.standardOutput.flush()
        try? ByteOutput.standardError.write(report.diagnostics)
        try? ByteOutput.standardError.flush()
        Self.exit(withError: ExitCode(report.status))
    }
}
