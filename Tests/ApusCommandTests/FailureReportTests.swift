import Apus
import ArgumentParser
import Testing

@testable import ApusCommand

@Suite struct FailureReportTests {
    @Test(
        arguments: [
            (ApusError.Code.invalidInput, 65), (.mismatch, 65), (.notFound, 66), (.unsupported, 69),
            (.internal, 70),
            (.outOfMemory, 71), (.device, 71), (.io, 74),
        ] as [(ApusError.Code, Int32)])
    func everyCodeHasAStatus(code: ApusError.Code, status: Int32) {
        let report = FailureReport(ApusError(code, "expected a, got b", context: ["config.json"]))
        #expect(report.diagnostics == "error: config.json: expected a, got b\n")
        #expect(report.output == "")
        #expect(report.status == status)
    }

    @Test func interruptionAndAClosedPipeAreSilent() {
        let cancelled = FailureReport(ApusError(.cancelled, "interrupted"))
        #expect(cancelled.diagnostics == "" && cancelled.status == 130)
        let closed = FailureReport(OutputClosed())
        #expect(closed.diagnostics == "" && closed.status == 141)
    }

    @Test func usageErrorsNameTheCommandToAsk() throws {
        let report = FailureReport(ValidationError("Give more."))
        #expect(report.diagnostics.hasPrefix("error: Give more.\n"))
        #expect(report.status == 64)
    }

    @Test func helpAndVersionGoToStandardOutput() throws {
        for (arguments, start) in [
            (["--version"], "0."), (["--help"], "OVERVIEW: "), (["run", "-h"], "OVERVIEW: "),
        ] {
            do {
                var command = try ApusTool.parseAsRoot(arguments)
                try command.run()
                Issue.record("\(arguments) ran")
            } catch {
                let report = FailureReport(error)
                #expect(report.output.hasPrefix(start))
                #expect(report.diagnostics == "" && report.status == 0)
            }
        }
    }
}
