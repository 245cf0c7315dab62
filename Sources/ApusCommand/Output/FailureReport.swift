import Apus
import ArgumentParser

/// The status that `apus` ends with; the numbers follow BSD's `sysexits.h`.
enum ExitStatus {
    /// The command line itself is wrong.
    static let usage: Int32 = 64
    /// Ended by Ctrl-C: 128 plus the signal's number.
    static let interrupted: Int32 = 130
    /// The reader of standard output went away: 128 plus the number of SIGPIPE.
    static let outputClosed: Int32 = 141

    /// The status for a kind of failure.
    static func status(of code: ApusError.Code) -> Int32 {
        switch code {
        case .invalidInput, .mismatch: 65
        case .notFound: 66
        case .unsupported: 69
        case .outOfMemory, .device: 71
        case .io: 74
        case .cancelled: interrupted
        default: 70
        }
    }

    /// What the help says about statuses.
    static let help = """
        Errors go to standard error as one line, "error: …", and end the command with a status: 64 wrong usage, \
        65 wrong input, 66 something is missing, 69 not supported, 70 a defect in apus, 71 no memory or device, \
        74 reading or writing failed, 130 interrupted.
        """
}

/// The reader of standard output has gone away; nothing is wrong, but there is nobody left to write for.
struct OutputClosed: Error {}

/// What the user is told about an error, and the status that goes with it: the one translator of errors.
struct FailureReport: Equatable {
    /// Text for standard output: help and version that were asked for.
    let output: String
    /// Text for standard error.
    let diagnostics: String
    /// The exit status.
    let status: Int32

    /// Translates an error thrown by parsing or by a command.
    init(_ error: any Error) {
        switch error {
        case let error as ApusError:
            output = ""
            diagnostics = error.code == .cancelled ? "" : "error: \(error)\n"
            status = ExitStatus.status(of: error.code)
        case is OutputClosed:
            output = ""
            diagnostics = ""
            status = ExitStatus.outputClosed
        default:
            let code = ApusTool.exitCode(for: error)
            let text = ApusTool.fullMessage(for: error)
            let message = text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
            status = code.rawValue
            if code.isSuccess {
                output = message
                diagnostics = ""
            } else {
                output = ""
                let prefix = "Error: "
                diagnostics =
                    message.hasPrefix(prefix) ? "error: " + message.dropFirst(prefix.count) : message
            }
        }
    }
}
